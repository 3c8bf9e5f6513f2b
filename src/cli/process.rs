//! The process that runs a command: its name, and its memory at the end.

use std::path::{Path, PathBuf};

/// The name for usage texts: `nanoseg`, or `kubectl nanoseg` if the binary runs as kubectl's plug-in, under the name
/// `kubectl-nanoseg`.
pub fn program() -> &'static str {
    let called = std::env::args_os().next().map(PathBuf::from);
    let name = called.as_deref().and_then(Path::file_stem);
    if name.is_some_and(|name| name == "kubectl-nanoseg") {
        "kubectl nanoseg"
    } else {
        "nanoseg"
    }
}

/// URLs, with commas between, without the user and the password that one may have: for logs.
pub fn without_user(urls: &str) -> String {
    let clean = |url: &str| {
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (host, path) = rest.split_at(end);
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        // What is behind the path may be a secret too.
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let separator = if scheme.is_empty() { "" } else { "://" };
        format!("{scheme}{separator}{host}{path}")
    };
    let urls: Vec<String> = urls.split(',').map(|url| clean(url.trim())).collect();
    urls.join(",")
}

/// Does not free a value: the process ends right after, and freeing the memory of a large cluster piece by piece takes
/// a tenth of a second.
pub fn leak<T>(what: T) {
    std::mem::forget(what);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_in_a_log_has_no_user_and_no_password() {
        for (url, logged) in [
            ("nats://a:b@nats:4222", "nats://nats:4222"),
            (
                "nats://a:b@x:1, tls://c@y:2/p?token=z",
                "nats://x:1,tls://y:2/p",
            ),
            ("a:b@nats:4222", "nats:4222"),
            ("nats://a:b@c@nats", "nats://nats"),
            (
                "https://nanoseg-controller.nanoseg.svc:7443",
                "https://nanoseg-controller.nanoseg.svc:7443",
            ),
            ("https://[fd00::1]:7443", "https://[fd00::1]:7443"),
            ("", ""),
        ] {
            assert_eq!(without_user(url), logged);
        }
    }
}
