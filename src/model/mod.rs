//! Pure: values and functions of them. Nothing here touches the system.

pub mod backoff;
pub mod calendar;
pub(crate) mod capability;
pub(crate) mod hermes_state;
pub(crate) mod intent;
pub(crate) mod observation;
pub(crate) mod plan;
pub(crate) mod policy;
pub mod profile;
pub(crate) mod signal;
pub mod tree;
pub(crate) mod usage;
pub(crate) mod values;
