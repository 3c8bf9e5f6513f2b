//! What the node must provide: permission, kernel support, sysctls. Each lack with its remedy.

use crate::LiveError;
use std::io;

/// Makes an error of the kernel's errno, with the remedy where it is known.
pub(super) fn live_error(action: &str, source: io::Error) -> LiveError {
    let remedy = match source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            Some("needs CAP_NET_ADMIN in the host network namespace")
        }
        // nfnetlink returns EINVAL for a subsystem that it does not know.
        Some(libc::EPROTONOSUPPORT | libc::ENOENT | libc::EOPNOTSUPP | libc::EINVAL) => Some(
            "the kernel has no connection tracking over netlink: modprobe nf_conntrack_netlink",
        ),
        _ => None,
    };
    LiveError {
        action: action.to_owned(),
        remedy: remedy.map(str::to_owned),
        source,
    }
}

/// Warns of sysctls with which less is seen. Sysctls that cannot be read are left out.
pub(super) fn warn_of_settings() {
    match setting("nf_conntrack_events") {
        Some(0) => tracing::warn!(
            "conntrack sends no events: only connections that are open when the table is dumped, once a minute, are \
             seen; set the sysctl net.netfilter.nf_conntrack_events to 1"
        ),
        None => tracing::debug!("the sysctl net.netfilter.nf_conntrack_events cannot be read"),
        Some(_) => {}
    }
    if setting("nf_conntrack_acct") == Some(0) {
        tracing::info!(
            "conntrack counts no bytes; set the sysctl net.netfilter.nf_conntrack_acct to 1 to have them"
        );
    }
}

/// Warns that nothing is tracked.
pub(super) fn warn_of_nothing_tracked() {
    tracing::warn!(
        "connection tracking is empty after a minute: no rule of this network namespace uses it, or \
         it is not the host's; without it use the capture source"
    );
}

pub(super) fn setting(name: &str) -> Option<u64> {
    let path = format!("/proc/sys/net/netfilter/{name}");
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_remedy_where_it_is_known() {
        let text = |code| {
            let source = io::Error::from_raw_os_error(code);
            live_error("subscribe to conntrack events", source).to_string()
        };
        assert_eq!(
            text(libc::EPERM),
            "failed to subscribe to conntrack events (needs CAP_NET_ADMIN in the host network namespace)"
        );
        let module = "modprobe nf_conntrack_netlink";
        assert!(text(libc::EPROTONOSUPPORT).contains(module));
        assert_eq!(text(libc::EIO), "failed to subscribe to conntrack events");
    }
}
