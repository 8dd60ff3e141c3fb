//! Work inside of a network namespace, without the caller leaving its own.
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::DeviceError;

/// Where `ip netns` keeps its namespaces.
const NAMED: &str = "/run/netns";

/// Does `work` inside of a network namespace: one of `ip netns` by its name, or any by a path (`/proc/PID/ns/net`).
/// Without one it is done here.
///
/// A namespace belongs to a thread (setns(2)): the work is done on a thread of its own, which ends with it. What it opens
/// stays in the namespace.
///
/// # Errors
/// [`DeviceError::Missing`], [`DeviceError::NotPermitted`] (CAP_SYS_ADMIN), or that of the work.
pub fn inside<T: Send>(
    device: &str,
    namespace: Option<&str>,
    work: impl FnOnce() -> Result<T, DeviceError> + Send,
) -> Result<T, DeviceError> {
    let Some(namespace) = namespace else { return work() };
    let file = open(device, namespace)?;
    enter(device, &file, work)
}

/// The same, inside of the namespace of a descriptor.
///
/// # Errors
/// As [`inside`].
pub(super) fn enter<T: Send>(
    device: &str,
    namespace: &(impl AsFd + Sync),
    work: impl FnOnce() -> Result<T, DeviceError> + Send,
) -> Result<T, DeviceError> {
    let done = std::thread::scope(|scope| {
        let there = move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).map_err(
                |error| match error {
                    rustix::io::Errno::PERM => DeviceError::NotPermitted {
                        device: device.to_owned(),
                        call: "setns",
                        remedy: "entering a network namespace needs CAP_SYS_ADMIN: run as root, or inside of the namespace",
                    },
                    error => DeviceError::System {
                        device: device.to_owned(),
                        call: "setns",
                        source: error.into(),
                    },
                },
            )?;
            work()
        };
        std::thread::Builder::new().spawn_scoped(scope, there).map(|thread| thread.join())
    });
    match done {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => std::panic::resume_unwind(panic),
        Err(source) => {
            Err(DeviceError::System { device: device.to_owned(), call: "clone of a thread", source })
        }
    }
}

fn open(device: &str, namespace: &str) -> Result<File, DeviceError> {
    let path =
        if namespace.contains('/') { PathBuf::from(namespace) } else { PathBuf::from(NAMED).join(namespace) };
    File::open(&path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => DeviceError::Missing {
            device: device.to_owned(),
            missing: format!("the network namespace {namespace}"),
            remedy: "make it with `ip netns add`, or name one by path, such as /proc/PID/ns/net",
        },
        io::ErrorKind::PermissionDenied => DeviceError::NotPermitted {
            device: device.to_owned(),
            call: "open of the network namespace",
            remedy: "run as root or as the owner of the namespace's processes",
        },
        _ => DeviceError::System { device: device.to_owned(), call: "open of the network namespace", source },
    })
}
