//! Whether PID 1 has what of root's rights s6 needs for gateways that are another user's.

use super::{Doctor, Findings};
use crate::hermes::container::Process;
use crate::model::capability::{Capability, REMEDY};
use crate::sys::identity;

impl Doctor<'_> {
    pub(super) fn capabilities(&self, findings: &mut Findings) -> String {
        // That /proc cannot be read is told by other checks.
        let init = Process::of(1).unwrap_or_default();
        let uid = identity::look_up(&self.place.user).map_or(u64::MAX, |ids| ids.uid.into());
        for capability in Capability::ALL {
            // Where it is not root, nobody is; where gateways are root too, it needs none.
            if init.is_some_and(|it| it.uid() == 0 && !it.may(capability, uid)) {
                // hermes-gw does without.
                let add =
                    if capability == Capability::Kill { Findings::warn } else { Findings::fail };
                let (text, name) = (capability.lacking(), capability.name());
                add(findings, format_args!("{text}"), format_args!("{REMEDY}{name}"));
            }
        }
        "PID 1 has those that s6 needs".into()
    }
}
