//! Machines without s6: everything is refused, with what to use instead.

use super::{Goal, Outcomes, Patience, ServiceManager};
use crate::error::{Error, Kind, Result};
use crate::gateway::slot::Registration;
use crate::hermes::container::Supervisor;
use crate::model::observation::Report;
use crate::model::profile::Profile;
use crate::s6::control::Control;
use crate::s6::scandir::Tree;
use std::time::Duration;

/// A service manager that is not ours to command.
pub struct Host(pub Supervisor);

impl Host {
    fn refuse(&self, what: &'static str, profiles: &[Profile]) -> Outcomes {
        profiles.iter().map(|_| Err(self.refusal(what))).collect()
    }

    fn unsupported(&self, what: &'static str) -> Box<Error> {
        let why = "does not support runtime profile gateway registration (container-only feature)";
        Error::new(Kind::Unsupervised, what, self.0.word(), why)
    }

    fn refusal(&self, what: &'static str) -> Box<Error> {
        let instead = match self.0 {
            Supervisor::Systemd => {
                "systemd supervises services here: use hermes gateway, or systemctl --user"
            }
            _ => "nothing supervises gateways here: use hermes gateway run",
        };
        Error::new(Kind::Unsupervised, what, self.0.word(), instead)
    }
}

impl ServiceManager for Host {
    fn kind(&self) -> Supervisor {
        self.0
    }

    fn tree(&self) -> Option<(Tree, &[u8])> {
        None
    }

    fn supports_runtime_registration(&self) -> bool {
        false
    }

    fn list(&self) -> Result<Vec<Profile>> {
        Ok(Vec::new())
    }

    fn register(&self, _: &Profile, _: &Registration) -> Result<bool> {
        Err(self.unsupported("register gateway"))
    }

    fn unregister(&self, profiles: &[Profile], _: Duration) -> Outcomes {
        profiles.iter().map(|_| Err(self.unsupported("unregister gateway"))).collect()
    }

    fn start(&self, profiles: &[Profile], _: Patience) -> Outcomes {
        self.refuse("start gateway", profiles)
    }

    fn stop(&self, profiles: &[Profile], _: Patience) -> Outcomes {
        self.refuse("stop gateway", profiles)
    }

    fn restart(&self, profiles: &[Profile], _: Patience) -> Outcomes {
        self.refuse("restart gateway", profiles)
    }

    fn signal(&self, profiles: &[Profile], _: Control) -> Outcomes {
        self.refuse("signal gateway", profiles)
    }

    fn wait(&self, profiles: &[Profile], _: Goal, _: Patience) -> Outcomes {
        self.refuse("wait for gateway", profiles)
    }

    fn is_running(&self, _: &Profile) -> Result<bool> {
        Err(self.refusal("look at gateway"))
    }

    fn reports(&self, profiles: &[Profile]) -> Vec<Result<Report>> {
        profiles.iter().map(|_| Err(self.refusal("look at gateway"))).collect()
    }

    fn watch(&self, _: &[Profile], _: &dyn Fn(&Report) -> Result<()>) -> Result<()> {
        Err(self.refusal("watch gateways"))
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
                host.start(&profile, Patience::None),
                host.stop(&profile, Patience::Endless),
                host.restart(&profile, Patience::Within(time)),
                host.signal(&profile, Control::HangUp),
                host.wait(&profile, Goal::Up, Patience::None),
                vec![host.is_running(&profile[0]).map(drop)],
                vec![host.watch(&profile, &|_| Ok(()))],
                host.reports(&profile).into_iter().map(|report| report.map(drop)).collect(),
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
