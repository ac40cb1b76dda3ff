//! Text that the compiler packs, to a third if it is English: a bit takes the less room, the
//! more often it is what has followed on the same characters before (arithmetic coding, with
//! contexts of several lengths). Who unpacks guesses as who packed, for both have seen the same.

/// The bits of a character: it must be ASCII.
const BITS: u32 = 7;
/// It is guessed from no character before it, from one, and so on, this many times.
const GUESSES: usize = 4;
/// There are two to this power places for what was seen; few are taken twice then.
const PLACES: u32 = 16;

/// How often a 0 and a 1 have followed on the same bits. When one comes, the other counts less.
type Seen = [[u8; 2]; 1 << PLACES];

/// What has been seen, and the range of the numbers that stand for what is to come.
struct Coder<'a> {
    seen: &'a mut Seen,
    /// Where it stands what has followed on the last characters and the bits of this one.
    places: [usize; GUESSES],
    /// The last bits, of so many.
    past: u64,
    length: u32,
    low: u32,
    high: u32,
}

impl Coder<'_> {
    const fn new(seen: &mut Seen) -> Coder<'_> {
        Coder { seen, places: [0; GUESSES], past: 0, length: 0, low: 0, high: u32::MAX }
    }

    /// The last number of the range that stands for a 0. More characters tell more than fewer,
    /// and still more if but one bit has followed on them.
    const fn split(&mut self) -> u32 {
        let (mut zeros, mut ones, mut at) = (1, 1, 0);
        while at < GUESSES {
            let first = 1 << (BITS * at as u32 + self.length % BITS);
            // By the golden ratio they are spread well.
            let spread = (first | self.past & (first - 1)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            self.places[at] = (spread >> (u64::BITS - PLACES)) as usize;
            let seen = self.seen[self.places[at]];
            let more = if seen[0] == 0 || seen[1] == 0 { at + 2 } else { at };
            zeros += (seen[0] as u32) << more;
            ones += (seen[1] as u32) << more;
            at += 1;
        }
        self.low + (self.high - self.low) / (zeros + ones) * zeros
    }

    /// Goes on behind a bit, which is 1 or not.
    const fn go_on(&mut self, is_one: bool, split: u32) {
        self.see(is_one);
        if is_one {
            self.low = split + 1;
        } else {
            self.high = split;
        }
    }

    /// Keeps in mind a bit, and what it has followed on.
    const fn see(&mut self, is_one: bool) {
        let mut at = 0;
        while at < GUESSES {
            let seen = &mut self.seen[self.places[at]];
            seen[is_one as usize] = seen[is_one as usize].saturating_add(1);
            let other = &mut seen[!is_one as usize];
            if *other > 2 {
                *other = *other / 2 + 1;
            }
            at += 1;
        }
        self.past = self.past << 1 | is_one as u64;
        self.length += 1;
    }

    /// Keeps in mind `text`.
    const fn learn(&mut self, text: &str) {
        let (text, mut at) = (text.as_bytes(), 0);
        while at < text.len() {
            let mut bit = BITS;
            while bit > 0 {
                bit -= 1;
                self.split();
                self.see(text[at] >> bit & 1 == 1);
            }
            at += 1;
        }
    }

    /// Takes off the first byte of all numbers of the range, if it is the same.
    const fn shift(&mut self) -> Option<u8> {
        let byte = self.high >> 24;
        if self.low >> 24 != byte {
            return None;
        }
        self.low <<= 8;
        self.high = self.high << 8 | 0xff;
        Some(byte as u8)
    }
}

/// A packed text: the first `length` of `bytes`, which stand for so many `characters`.
pub(crate) struct Packed<const N: usize> {
    bytes: [u8; N],
    pub(crate) length: usize,
    characters: usize,
}

impl<const N: usize> Packed<N> {
    /// Packs texts of `N` bytes, one after the other. They must be ASCII. The more alike they are to
    /// what is `known` to who unpacks them, the less room they take.
    pub(crate) const fn new(known: &str, texts: &[&str]) -> Packed<N> {
        let mut packed = Packed { bytes: [0; N], length: 0, characters: 0 };
        let mut seen = [[0; 2]; 1 << PLACES];
        let mut coder = Coder::new(&mut seen);
        coder.learn(known);
        let mut text = 0;
        while text < texts.len() {
            assert!(texts[text].is_ascii());
            let mut at = 0;
            while at < texts[text].len() {
                packed.add(texts[text].as_bytes()[at], &mut coder);
                at += 1;
            }
            text += 1;
        }
        // With zeros behind it, which need not be kept, this is one of the numbers.
        packed.bytes[packed.length] = (coder.high >> 24) as u8;
        packed.length += 1;
        packed
    }

    const fn add(&mut self, character: u8, coder: &mut Coder<'_>) {
        let mut bit = BITS;
        while bit > 0 {
            bit -= 1;
            let split = coder.split();
            coder.go_on(character >> bit & 1 == 1, split);
            while let Some(byte) = coder.shift() {
                self.bytes[self.length] = byte;
                self.length += 1;
            }
        }
        self.characters += 1;
    }

    /// The same in an array that it fills: `M` is `length`.
    pub(crate) const fn cut<const M: usize>(&self) -> Packed<M> {
        let mut bytes = [0; M];
        bytes.copy_from_slice(self.bytes.split_at(M).0);
        Packed { bytes, length: M, characters: self.characters }
    }

    /// The texts, which were packed with the same text `known`.
    pub(crate) fn unpack(&self, known: &str) -> String {
        unpack(known, &self.bytes, self.characters)
    }
}

#[inline(never)]
fn unpack(known: &str, bytes: &[u8], characters: usize) -> String {
    let mut seen = [[0; 2]; 1 << PLACES];
    let mut coder = Coder::new(&mut seen);
    coder.learn(known);
    let (mut text, mut bytes, mut number) = (String::new(), bytes.iter(), 0_u32);
    // So the first four bytes are taken.
    coder.high = 0;
    while text.len() < characters {
        while coder.shift().is_some() {
            number = number << 8 | u32::from(bytes.next().copied().unwrap_or(0));
        }
        let split = coder.split();
        coder.go_on(number > split, split);
        if coder.length.is_multiple_of(BITS) {
            text.push(char::from(coder.past as u8 & 0x7f));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_out_as_it_was() {
        const TEXTS: [&str; 4] = ["so so so so", "", "aaaaaaa", "\n\x0cso so"];
        const PACKING: Packed<25> = Packed::new("so it is", &TEXTS);
        let packed: Packed<{ PACKING.length }> = PACKING.cut();
        assert_eq!(packed.unpack("so it is"), TEXTS.concat());
        assert!(packed.length < 16, "{}", packed.length);
    }
}
