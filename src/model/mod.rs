//! Pure: values and functions of them. Nothing here touches the system.

pub mod backoff;
pub mod calendar;
pub mod intent;
pub mod observation;
pub mod plan;
pub mod profile;
