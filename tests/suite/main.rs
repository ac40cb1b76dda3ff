//! All integration tests, in one crate: a module for each area. `cargo test --test suite doctor::`
//! runs those of one.

#[path = "../support/mod.rs"]
mod support;

mod binary;
mod boot;
mod capabilities;
mod completion;
mod crashes;
mod differential;
mod doctor;
mod faults;
mod health;
mod hermes;
mod image;
mod intents;
mod lifecycle;
mod links;
mod live;
mod logs;
mod man;
mod owners;
mod race;
mod reconcile;
mod registration;
mod rootfs;
mod runtime;
mod shutdown;
mod stagger;
mod standby;
mod status;
mod sweep;
mod tree;
mod truth;
mod watch;
mod wire;
mod zone;
