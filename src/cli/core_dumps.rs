//! Whether the kernel may write this process' memory to a file when it crashes.

use rustix::io;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};

/// No core dumps, for nobody: neither into a file nor to a program that collects them; and no other
/// process of the same user may look into this one's memory.
///
/// # Errors
/// As the kernel has them.
pub(super) fn forbid() -> io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let Rlimit { maximum, .. } = getrlimit(Resource::Core);
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum })
}

/// As large as they were permitted at the start.
///
/// # Errors
/// As the kernel has them.
pub(super) fn permit() -> io::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Core);
    setrlimit(Resource::Core, Rlimit { current: maximum, maximum })?;
    set_dumpable_behavior(DumpableBehavior::Dumpable)
}

#[cfg(test)]
mod tests {
    use rustix::process::dumpable_behavior;

    use super::*;

    #[test]
    fn p26_core_dumps_are_forbidden_and_can_be_permitted() {
        forbid().expect("done");
        let Rlimit { current, maximum } = getrlimit(Resource::Core);
        assert_eq!(dumpable_behavior().expect("known"), DumpableBehavior::NotDumpable);
        assert_eq!(current, Some(0));
        permit().expect("done");
        assert_eq!(dumpable_behavior().expect("known"), DumpableBehavior::Dumpable);
        assert_eq!(getrlimit(Resource::Core).current, maximum);
    }
}
