//! `status`: how gateways stand.

use crate::cli::{Options, Verbosity};
use crate::error::{Kind, Result};
use crate::manager::{self, Access};
use crate::model::observation::{Report, State};
use crate::render::{self, report};
use crate::s6::scandir::Tree;
use crate::sys;
use crate::text::Shown;

/// Runs the command: 0 if each gateway is as it is meant to be, else the first one's code
/// that is not.
pub fn run(options: &Options, names: &[Vec<u8>]) -> Result<u8> {
    let manager = manager::open(options, Access::Read)?;
    let all = if names.is_empty() { super::all(&*manager)? } else { Vec::new() };
    let (parsed, profiles) = super::targets(if names.is_empty() { &all } else { names });
    let mut looked = manager.reports(&profiles).into_iter();
    let (mut reports, mut code) = (Vec::new(), 0);
    for profile in parsed {
        let report = profile.and_then(|_| looked.next().transpose());
        let one = match &report {
            Ok(report) => report.as_ref().map_or(0, code_of),
            // It was removed while all were looked at.
            Err(error) if error.kind == Kind::NotRegistered && names.is_empty() => 0,
            Err(error) => {
                super::complain(options, error);
                error.kind.exit_code()
            }
        };
        code = super::first(code, one);
        reports.extend(report.ok().flatten());
    }
    match (manager.tree(), options.verbosity, options.json) {
        (Some((tree, _)), _, true) => render::say(&json(&reports, tree))?,
        (Some(_), Verbosity::Quiet, false) | (None, ..) => {}
        // There may be others.
        (Some(_), _, false) if reports.is_empty() && !names.is_empty() => {}
        (Some((tree, path)), _, false) => render::say(&text(&reports, tree, path))?,
    }
    Ok(code)
}

/// What a script hears of a gateway.
fn code_of(report: &Report) -> u8 {
    let kind = match report.state {
        _ if report.is_well() => return 0,
        State::NotSupervised => Kind::Unsupervised,
        State::Denied => Kind::Denied,
        _ => Kind::Unusable,
    };
    kind.exit_code()
}

fn json(reports: &[Report], tree: Tree) -> String {
    let now = sys::time();
    let rows: Vec<_> = reports.iter().map(|it| report::json(it, tree.word(), now)).collect();
    format!("[{}]\n", rows.join(","))
}

fn text(reports: &[Report], tree: Tree, path: &[u8]) -> String {
    let whose = match tree {
        Tree::Root => "PID 1's",
        Tree::User => "the gateways' user's own",
    };
    let head = format!("Manager: s6 (container supervisor)\nTree: {whose}, {}\n", Shown(path));
    match reports {
        [] => head + "No gateways: hermes-gw reconcile makes one for every profile.\n",
        reports => head + &report::table(reports, sys::time(), render::colours()),
    }
}
