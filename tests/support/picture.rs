//! A terminal's screen as an SVG, for README.md: what commands have printed, in its colours.

use std::fmt::Write;

/// A command, and what it has printed on a terminal.
pub struct Screen {
    pub command: String,
    pub printed: String,
}

/// How wide the terminal is; longer lines go on in the next one.
const COLUMNS: usize = 100;
/// A cell of it, in pixels.
const CELL: (f64, f64) = (8.0, 18.0);
/// What is around them.
const MARGIN: f64 = 14.0;
const PLAIN: &str = "#d4d4d4";
const PROMPT: &str = "#7fb4ff";

/// Characters of one line that have the same colour.
struct Run {
    column: usize,
    colour: &'static str,
    text: String,
}

/// The picture of `screens`, one below the other.
pub fn svg(screens: &[Screen]) -> String {
    let mut lines = Vec::new();
    for (number, screen) in screens.iter().enumerate() {
        if number > 0 {
            lines.push(Vec::new());
        }
        lines.extend(wrapped(&format!("$ {}", screen.command), PROMPT));
        screen.printed.lines().for_each(|line| lines.extend(wrapped(line, PLAIN)));
    }
    let width = 2.0 * MARGIN + COLUMNS as f64 * CELL.0;
    let height = 2.0 * MARGIN + lines.len() as f64 * CELL.1;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#1e1e1e\"/>\n\
         <g font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace\" \
         font-size=\"13\" xml:space=\"preserve\">\n"
    );
    for (row, runs) in lines.iter().enumerate() {
        let y = MARGIN + (row as f64 + 0.75) * CELL.1;
        for Run { column, colour, text } in runs {
            let x = MARGIN + *column as f64 * CELL.0;
            // Whatever the font: each character has its cell.
            let length = text.chars().count() as f64 * CELL.0;
            let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            writeln!(
                svg,
                "<text x=\"{x}\" y=\"{y}\" textLength=\"{length}\" fill=\"{colour}\">{text}</text>"
            )
            .unwrap();
        }
    }
    svg + "</g>\n</svg>\n"
}

/// A line as the terminal breaks it, `colour` where it sets none.
fn wrapped(line: &str, colour: &'static str) -> Vec<Vec<Run>> {
    let (mut lines, mut column, mut now) = (vec![Vec::<Run>::new()], 0, colour);
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        if c == '\x1b' {
            let sequence: String = rest.by_ref().take_while(|c| *c != 'm').collect();
            now = match &*sequence {
                "[2" => "#8a8a8a",
                "[31" => "#ff6b68",
                "[32" => "#6cc66c",
                "[33" => "#e5c07b",
                _ => colour,
            };
            continue;
        }
        if c.is_control() {
            continue;
        }
        if column == COLUMNS {
            lines.push(Vec::new());
            column = 0;
        }
        let line = lines.last_mut().unwrap();
        match line.last_mut() {
            Some(run) if run.colour == now => run.text.push(c),
            _ => line.push(Run { column, colour: now, text: c.into() }),
        }
        column += 1;
    }
    lines
}
