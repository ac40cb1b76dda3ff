//! What is said: results on stdout, errors and warnings on stderr, each as text or as JSON.

use crate::error::{Error, Errors, Result};
use crate::options::{Opt, Options, Verbosity};
use crate::sys::print;
use crate::text::part;
use nanoserde::{SerJson, SerJsonState};
use std::mem;

/// How to say things here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    /// As JSON.
    pub(crate) json: bool,
    /// How much of a success.
    pub(crate) verbosity: Verbosity,
}

impl Output {
    /// As `options` ask for it.
    pub(crate) fn new(options: &Options) -> Output {
        Output { json: options.has(Opt::Json), verbosity: options.verbosity }
    }

    /// Prints `text` to stdout. A reader that has gone is no error.
    pub(crate) fn say(&self, text: &str) -> Result<()> {
        print::print(text.as_bytes()).map(drop)
    }

    /// Prints the `text` that was asked for; as JSON, an object with it as `key`.
    pub(crate) fn answer(&self, key: &'static str, text: &str) -> Result<()> {
        self.say(&self.line(key, "", text))
    }

    /// Prints `texts`, as JSON with commas between, and what is before and after them. However many
    /// they are, no more than a [piece](PIECE) of them is in memory.
    #[inline(never)]
    pub(crate) fn say_all(
        &self,
        texts: &mut dyn Iterator<Item = String>,
        before: &str,
        after: &str,
    ) -> Result<()> {
        let (mut piece, mut first) = (String::from(before), true);
        for text in texts {
            if !mem::take(&mut first) && self.json {
                piece += ",";
            }
            piece += &text;
            if piece.len() >= PIECE {
                self.say(&piece)?;
                piece.clear();
            }
        }
        self.say(&(piece + after))
    }

    /// Prints `texts`, as JSON in an array.
    pub(crate) fn say_list(&self, texts: &mut dyn Iterator<Item = String>) -> Result<()> {
        let (before, after) = if self.json { ("[", "]\n") } else { ("", "") };
        self.say_all(texts, before, after)
    }

    /// Says with `-v` what was done for the profile called `name`.
    pub(crate) fn did(&self, name: &str, action: &str) -> Result<()> {
        match self.verbosity {
            Verbosity::Verbose => self.tell(name, action),
            _ => Ok(()),
        }
    }

    /// Says what was done for the profile called `name`.
    pub(crate) fn tell(&self, name: &str, action: &str) -> Result<()> {
        if !self.json {
            return self.say(&[name, ": ", action, "\n"].concat());
        }
        let mut row = Row::of("profile action");
        row.text(name).text(action);
        self.say(&(row.end() + "\n"))
    }

    /// Prints what has failed to stderr, a line; its exit code.
    #[allow(clippy::boxed_local)] // As it comes.
    pub(crate) fn fail(&self, error: Box<Error>) -> u64 {
        self.complain("error", "hermes-gw: ", &error.text());
        error.kind.exit_code().into()
    }

    /// Prints what went wrong, and did not keep the verb from going on.
    #[allow(clippy::boxed_local)] // As it comes.
    pub(crate) fn warn(&self, error: Box<Error>) {
        self.warn_of(&error.text());
    }

    /// The same, of several things.
    pub(crate) fn warn_all(&self, errors: &Errors) {
        errors.iter().for_each(|error| self.warn_of(&error.text()));
    }

    /// The same, in words.
    pub(crate) fn warn_of(&self, text: &str) {
        self.complain("warning", "hermes-gw: warning: ", text);
    }

    /// What was asked for; if that could not be found out, warns of it, and it is as if there
    /// were none.
    pub(crate) fn or_warn<T: Default>(&self, asked: Result<T>) -> T {
        asked.unwrap_or_else(|error| {
            self.warn(error);
            T::default()
        })
    }

    /// Warns of what could not be done, if so; whether it could.
    pub(crate) fn warn_unless(&self, done: Result<()>) -> bool {
        done.map_err(|error| self.warn(error)).is_ok()
    }

    fn complain(&self, key: &'static str, prefix: &str, text: &str) {
        // In one piece, for others write there too.
        print::print_error(self.line(key, prefix, text).as_bytes());
    }

    /// A line that says `text`: behind `prefix`, or as JSON, in an object as `key`.
    #[inline(never)]
    fn line(&self, key: &'static str, prefix: &str, text: &str) -> String {
        if !self.json {
            return [prefix, text, "\n"].concat();
        }
        let mut row = Row::of(key);
        row.text(text);
        row.end() + "\n"
    }

    /// Whether stdout may have colours: it is a terminal that knows some, and nobody objects.
    pub(crate) fn colours(&self) -> bool {
        let set = |name| std::env::var_os(name).unwrap_or_default();
        print::is_terminal() && set("NO_COLOR").is_empty() && set("TERM") != "dumb"
    }
}

/// So much of a long text is printed at once, in bytes.
pub(crate) const PIECE: usize = 16 << 10;

/// An object of JSON, field by field.
pub(crate) struct Row {
    /// The keys, in the order of the fields, with blanks between. They are ours: nothing in them
    /// needs escaping.
    keys: &'static str,
    /// How many fields there are.
    fields: usize,
    text: String,
}

impl Row {
    /// An object that is to have a field for each of these `keys`, with blanks between.
    #[inline(never)]
    pub(crate) fn of(keys: &'static str) -> Row {
        Row { keys, fields: 0, text: String::new() }
    }

    /// Adds a field whose value is JSON already.
    #[inline(never)]
    pub(crate) fn raw(&mut self, json: &str) -> &mut Row {
        let start = if self.fields == 0 { "{\"" } else { ",\"" };
        for piece in [start, part(self.keys, ' ', self.fields), "\":", json] {
            self.text.push_str(piece);
        }
        self.fields += 1;
        self
    }

    /// Adds a field.
    #[inline(never)]
    pub(crate) fn text(&mut self, value: &str) -> &mut Row {
        self.raw(&quoted(value))
    }

    /// Adds a field that is null.
    #[inline(never)]
    pub(crate) fn null(&mut self) -> &mut Row {
        self.raw("null")
    }

    /// Adds a field that may be null.
    #[inline(never)]
    pub(crate) fn text_or_null(&mut self, value: Option<&str>) -> &mut Row {
        match value {
            Some(value) => self.text(value),
            None => self.null(),
        }
    }

    /// Adds a field that is null where the text is empty.
    #[inline(never)]
    pub(crate) fn text_unless_empty(&mut self, value: &str) -> &mut Row {
        self.text_or_null((!value.is_empty()).then_some(value))
    }

    /// Adds a field that may be null.
    #[inline(never)]
    pub(crate) fn number(&mut self, value: Option<u64>) -> &mut Row {
        match value {
            Some(value) => self.raw(&value.to_string()),
            None => self.null(),
        }
    }

    /// Adds a field.
    #[inline(never)]
    pub(crate) fn flag(&mut self, value: bool) -> &mut Row {
        self.raw(if value { "true" } else { "false" })
    }

    /// The object up to an array that is its last field; what is in that comes behind.
    pub(crate) fn up_to_array(mut self) -> String {
        self.raw("[");
        self.has_all();
        self.text
    }

    /// The object, without a newline.
    pub(crate) fn end(self) -> String {
        self.has_all();
        self.text + "}"
    }

    fn has_all(&self) {
        debug_assert_eq!(self.fields, self.keys.split(' ').count(), "{}", self.keys);
    }
}

/// A string of JSON.
pub(crate) fn quoted(text: &str) -> String {
    let mut state = SerJsonState::new(String::new());
    text.ser_json(0, &mut state);
    state.out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_row_is_json_that_others_can_read() {
        let mut row = Row::of("a b c d e f");
        row.text("x\"\n\u{202e}").text_or_null(None).number(Some(7));
        row.number(None).flag(true).raw("[1]");
        let json: serde_json::Value = serde_json::from_str(&row.end()).unwrap();
        let expected = serde_json::json!({
            "a": "x\"\n\u{202e}", "b": null, "c": 7, "d": null, "e": true, "f": [1],
        });
        assert_eq!(json, expected);
    }

    proptest! {
        #[test]
        fn any_text_is_a_string_of_json(text: String) {
            let json: String = serde_json::from_str(&quoted(&text)).unwrap();
            prop_assert_eq!(json, text);
        }
    }
}
