//! What hermes-gw makes of s6 and Hermes: slots, their scripts, and how gateways get where they
//! should be.

pub(crate) mod adopt;
pub(crate) mod crash_record;
pub(crate) mod ends;
pub(crate) mod event_loop;
pub(crate) mod observe;
mod outcome;
pub(crate) mod retire;
pub(crate) mod script;
pub(crate) mod signal;
pub(crate) mod slot;
pub(crate) mod slots;
pub(crate) mod standby;
pub(crate) mod stop_ladder;
pub(crate) mod transition;
pub(crate) mod turn;
pub(crate) mod user_tree;
pub(crate) mod watch;
