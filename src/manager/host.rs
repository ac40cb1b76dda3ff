//! Machines without s6: everything is refused, with what to use instead.

use super::{Outcomes, ServiceManager, Timeout};
use crate::error::{Error, Kind, Result};
use crate::gateway::slot::Registration;
use crate::hermes::container::Supervisor;
use crate::model::profile::Profile;
use std::time::Duration;

/// A service manager that is not ours to command.
pub(crate) struct Host(pub(crate) Supervisor);

/// What is said where `supervisor` is not ours to do `what` with.
pub(crate) fn refusal(supervisor: Supervisor, what: &'static str) -> Box<Error> {
    let instead = match supervisor {
        Supervisor::Systemd => {
            "systemd supervises services here: use hermes gateway, or systemctl --user"
        }
        _ => "nothing supervises gateways here: use hermes gateway run",
    };
    Error::new(Kind::Unsupervised, what, supervisor.word(), instead)
}

impl Host {
    fn refuse(&self, what: &'static str, profiles: &[Profile]) -> Outcomes {
        vec![Err(refusal(self.0, what)); profiles.len()]
    }

    fn unsupported(&self, what: &'static str) -> Box<Error> {
        let why = "does not support runtime profile gateway registration (container-only feature)";
        Error::new(Kind::Unsupervised, what, self.0.word(), why)
    }
}

impl ServiceManager for Host {
    fn kind(&self) -> Supervisor {
        self.0
    }

    fn supports_runtime_registration(&self) -> bool {
        false
    }

    fn list(&self) -> Result<Vec<Profile>> {
        Ok(Vec::new())
    }

    fn register(&self, _: &Profile, _: &Registration<'_>) -> Result<bool> {
        Err(self.unsupported("register gateway"))
    }

    fn unregister(&self, profiles: &[Profile], _: Duration) -> Outcomes {
        vec![Err(self.unsupported("unregister gateway")); profiles.len()]
    }

    fn start(&self, profiles: &[Profile], _: Timeout) -> Outcomes {
        self.refuse("start gateway", profiles)
    }

    fn stop(&self, profiles: &[Profile], _: Timeout) -> Outcomes {
        self.refuse("stop gateway", profiles)
    }

    fn restart(&self, profiles: &[Profile], _: Timeout) -> Outcomes {
        self.refuse("restart gateway", profiles)
    }

    fn is_running(&self, _: &Profile) -> Result<bool> {
        Err(refusal(self.0, "look at gateway"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_refuse_and_say_what_to_use() {
        for (kind, instead) in
            [(Supervisor::Systemd, "systemctl --user"), (Supervisor::None, "hermes gateway run")]
        {
            let host = Host(kind);
            let profile = [Profile::Default];
            assert_eq!((host.kind(), host.supports_runtime_registration()), (kind, false));
            assert_eq!(host.list(), Ok(vec![]));
            let time = Duration::ZERO;
            let registration = [
                host.register(&Profile::Default, &Registration::default()).map(drop),
                host.unregister(&profile, time).remove(0),
            ];
            for refused in registration {
                let error = refused.unwrap_err();
                assert_eq!(error.kind, Kind::Unsupervised);
                let text = error.to_string();
                let end = "does not support runtime profile gateway registration (container-only feature)";
                assert!(text.ends_with(end), "{text}");
            }
            let lifecycle = [
                host.start(&profile, Timeout::NoWait),
                host.stop(&profile, Timeout::Never),
                host.restart(&profile, Timeout::After(time)),
                vec![host.is_running(&profile[0]).map(drop)],
                vec![Err(refusal(kind, "watch gateways"))],
            ];
            for mut refused in lifecycle {
                let error = refused.remove(0).unwrap_err();
                assert_eq!(error.kind, Kind::Unsupervised);
                let text = error.to_string();
                assert!(text.contains(kind.word()) && text.ends_with(instead), "{text}");
                assert!(refused.is_empty());
            }
        }
    }
}
