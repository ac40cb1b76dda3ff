//! Text that the compiler packs, by byte-pair encoding: the two bytes that stand together most
//! often become one byte from 128 on, again and again. It halves English.

/// As many pairs as there are bytes that are not ASCII.
const PAIRS: usize = 128;

/// A packed text: the first `length` of `bytes`. What a byte from 128 on stands for is in `pairs`.
pub(crate) struct Packed<const N: usize> {
    pairs: [[u8; 2]; PAIRS],
    bytes: [u8; N],
    pub(crate) length: usize,
}

impl<const N: usize> Packed<N> {
    /// Packs texts of `N` bytes, one after the other. They must be ASCII.
    pub(crate) const fn new(texts: &[&str]) -> Packed<N> {
        let mut packed = Packed { pairs: [[0; 2]; PAIRS], bytes: [0; N], length: 0 };
        let mut text = 0;
        while text < texts.len() {
            assert!(texts[text].is_ascii());
            let mut at = 0;
            while at < texts[text].len() {
                packed.bytes[packed.length] = texts[text].as_bytes()[at];
                packed.length += 1;
                at += 1;
            }
            text += 1;
        }
        // No two bytes are these yet: it only counts.
        let mut best = packed.replace([u8::MAX; 2], 0);
        let mut at = 0;
        while at < PAIRS {
            packed.pairs[at] = best;
            best = packed.replace(best, (PAIRS + at) as u8);
            at += 1;
        }
        packed
    }

    /// Replaces the two bytes of `pair` by one, wherever they are; the pair that is most
    /// frequent then.
    const fn replace(&mut self, pair: [u8; 2], by: u8) -> [u8; 2] {
        let (mut counts, mut most, mut best) = ([[0_u16; 256]; 256], 0, [0; 2]);
        let (mut from, mut to, mut last) = (0, 0, 0);
        while from < self.length {
            let mut byte = self.bytes[from];
            from += 1;
            if byte == pair[0] && from < self.length && self.bytes[from] == pair[1] {
                byte = by;
                from += 1;
            }
            self.bytes[to] = byte;
            to += 1;
            let count = &mut counts[last as usize][byte as usize];
            *count += 1;
            if *count > most {
                (most, best) = (*count, [last, byte]);
            }
            last = byte;
        }
        self.length = to;
        best
    }

    /// The same in an array that it fills: `M` is `length`.
    pub(crate) const fn cut<const M: usize>(&self) -> Packed<M> {
        let mut bytes = [0; M];
        bytes.copy_from_slice(self.bytes.split_at(M).0);
        Packed { pairs: self.pairs, bytes, length: M }
    }

    /// The texts.
    pub(crate) fn unpack(&self) -> String {
        unpack(&self.pairs, &self.bytes)
    }
}

#[inline(never)]
fn unpack(pairs: &[[u8; 2]], bytes: &[u8]) -> String {
    let mut text = String::new();
    bytes.iter().for_each(|byte| unpack_byte(pairs, *byte, &mut text));
    text
}

fn unpack_byte(pairs: &[[u8; 2]], byte: u8, text: &mut String) {
    match pairs.get(usize::from(byte).wrapping_sub(PAIRS)) {
        Some(pair) => pair.iter().for_each(|byte| unpack_byte(pairs, *byte, text)),
        None => text.push(char::from(byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_out_as_it_was() {
        const TEXTS: [&str; 4] = ["so so so so", "", "aaaaaaa", "\n\x0cso so"];
        const PACKING: Packed<25> = Packed::new(&TEXTS);
        let packed: Packed<{ PACKING.length }> = PACKING.cut();
        assert_eq!(packed.unpack(), TEXTS.concat());
        assert!(packed.length < 12, "{}", packed.length);
        assert_eq!(Packed::<0>::new(&[""]).unpack(), "");
    }
}
