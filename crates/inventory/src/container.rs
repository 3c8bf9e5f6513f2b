//! One container of a workload and its image, as types.

use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;

/// An image reference, parsed as container runtimes do (github.com/distribution/reference).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Image {
    /// `docker.io` where none is written.
    pub registry: String,
    /// `library/nginx`, `team/app`.
    pub repository: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// `sha256:…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

impl Image {
    /// Parses a reference. Any text gives an image: it is the kubelet's task to refuse a bad one.
    pub fn parse(text: &str) -> Image {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.to_owned())),
            None => (text, None),
        };
        // The first part names a registry if it looks like a host.
        let (registry, rest) = match rest.split_once('/') {
            Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (host, rest),
            _ => ("docker.io", rest),
        };
        // Docker Hub answers to several names.
        let registry = match registry {
            "index.docker.io" | "registry-1.docker.io" => "docker.io",
            other => other,
        };
        let last = rest.rfind('/').map_or(0, |at| at + 1);
        let (name, tag) = match rest[last..].find(':') {
            Some(at) => (&rest[..last + at], Some(rest[last + at + 1..].to_owned())),
            None => (rest, None),
        };
        let repository = if registry == "docker.io" && !name.contains('/') {
            format!("library/{name}")
        } else {
            name.to_owned()
        };
        Image {
            registry: registry.to_owned(),
            repository,
            tag,
            digest,
        }
    }

    /// Registry and repository, without tag and digest.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// Returns true if the reference may name another image tomorrow: only a digest never changes.
    pub fn is_mutable(&self) -> bool {
        self.digest.is_none()
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

/// One container of a workload, as its pods describe it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    pub name: String,
    pub image: Image,
    /// The digest that really runs, as the kubelet reports it (`status.containerStatuses[].imageID`): `sha256:…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<String>,
    pub privileged: bool,
    /// Capabilities beyond the runtime's default ones, without `CAP_`.
    pub capabilities: BTreeSet<String>,
    /// Ports of the node that lead to it from other machines: not those of a loopback address. On the host
    /// network every port does, and they are not listed.
    pub host_ports: BTreeSet<u16>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_taken_apart_as_the_runtime_does() {
        for (text, name, tag, digest) in [
            ("nginx", "docker.io/library/nginx", None, None),
            ("nginx:1.27", "docker.io/library/nginx", Some("1.27"), None),
            (
                "index.docker.io/library/nginx",
                "docker.io/library/nginx",
                None,
                None,
            ),
            ("team/app:2", "docker.io/team/app", Some("2"), None),
            ("localhost/app", "localhost/app", None, None),
            (
                "r.example:5000/a/b:c",
                "r.example:5000/a/b",
                Some("c"),
                None,
            ),
            (
                "ghcr.io/a/b:v1@sha256:ab",
                "ghcr.io/a/b",
                Some("v1"),
                Some("sha256:ab"),
            ),
            ("", "docker.io/library/", None, None),
        ] {
            let image = Image::parse(text);
            assert_eq!(image.name(), name, "{text}");
            assert_eq!(image.tag.as_deref(), tag, "{text}");
            assert_eq!(image.digest.as_deref(), digest, "{text}");
            assert_eq!(image.is_mutable(), digest.is_none(), "{text}");
        }
    }
}
