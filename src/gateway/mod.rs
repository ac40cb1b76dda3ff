//! What we make of s6 and Hermes: slots, their scripts, and how gateways are brought about.

pub mod adopt;
pub mod crash_record;
pub mod event_loop;
pub mod observe;
pub mod retire;
pub mod script;
pub mod slot;
pub mod transition;
pub mod watch;
