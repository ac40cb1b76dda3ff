//! Whether PID 1 has what of root's rights s6 needs for gateways that are another user's.

use super::{Doctor, Findings, Found};
use crate::hermes::container::Process;
use crate::model::capability::{Capability, REMEDY};

impl Doctor<'_> {
    pub(super) fn capabilities(&self, findings: &mut Findings) {
        // Where /proc hides it nothing is known; that it cannot be read is told by other checks.
        let Ok(Some(init)) = Process::of(1) else {
            return findings.add_plain(Found::NotLookedAt);
        };
        let uid = self.uid().map_or(u64::MAX, u64::from);
        for capability in Capability::ALL {
            // Where it is not root, nobody is; where gateways are root too, it needs none.
            if init.uid() == 0 && !init.may(capability, uid) {
                // hermes-gw does without.
                let warns = capability == Capability::Kill;
                let found = if warns { Found::Warns } else { Found::Fails };
                let remedy = [REMEDY.read(), capability.name()].concat();
                findings.add_two(found, capability.lacking().as_bytes(), remedy.as_bytes());
            }
        }
        findings.add_plain(Found::Capabilities);
    }
}
