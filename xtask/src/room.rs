//! Room on the disk. A test that finds none fails in some way of its own, far from the reason.

use crate::{step, workspace::Workspace};
use rustix::fs::statvfs;

const GB: u64 = 1_000_000_000;

/// What a whole run from a clean clone takes at its fullest, in GB, as CI builds (`.ci/run`): 8 of
/// builds and 2 of what tests write were seen.
const WHOLE_RUN_GB: u64 = 11;

/// Says so if less is free than a whole run may take. It is no reason to stop: what is built
/// already takes no more.
pub fn warn_if_short(workspace: &Workspace) {
    // This program was built into it, so it is there; where the system does not say, nobody is warned.
    let Ok(disk) = statvfs(&workspace.target) else {
        return;
    };
    let free_gb = disk.f_bavail.saturating_mul(disk.f_frsize) / GB;
    if let Some(warning) = warning(free_gb) {
        step::note(&warning);
    }
}

fn warning(free_gb: u64) -> Option<String> {
    (free_gb < WHOLE_RUN_GB).then(|| {
        format!(
            "the disk has {free_gb} GB left, and everything from nothing takes up to \
             {WHOLE_RUN_GB}: `cargo clean` frees what older builds left"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_disk_that_is_short_is_spoken_of() {
        assert_eq!(warning(WHOLE_RUN_GB), None);
        let short = warning(WHOLE_RUN_GB - 1).expect("a warning");
        assert!(short.contains("10 GB left"), "{short}");
    }
}
