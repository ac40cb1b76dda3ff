//! `watch`: each change of gateways, as it comes.

use crate::cli::Options;
use crate::error::Result;
use crate::manager::{self, Access};
use crate::render::{self, report};
use crate::sys;

/// Runs the command, until it is interrupted or nobody reads it any more.
pub fn run(options: &Options, names: &[Vec<u8>]) -> Result<u8> {
    let (parsed, profiles) = super::targets(names);
    parsed.into_iter().collect::<Result<Vec<_>>>()?;
    let manager = manager::open(options, Access::Control)?;
    let tree = manager.tree().map_or("", |(tree, _)| tree.word());
    let colour = render::colours();
    manager.watch(&profiles, &|it| {
        let now = sys::time();
        render::say(&match options.json {
            true => report::json(it, tree, now) + "\n",
            false => report::line(it, now, colour),
        })
    })?;
    Ok(0)
}
