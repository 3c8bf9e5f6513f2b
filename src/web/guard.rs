//! Who may ask: only a browser that was given the URL with its token, of a page that we served. Against other
//! pages in the same browser (cross-site requests), against names that are made to point at loopback (DNS
//! rebinding), against other users of the machine.

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use std::net::SocketAddr;

/// What a request must bring.
#[derive(Debug, Clone)]
pub struct Guard {
    token: String,
    /// `127.0.0.1:PORT` and `localhost:PORT`; of port 80, which browsers leave out, without it as well.
    hosts: Vec<String>,
}

/// Scripts, styles and connections of our own only; nobody may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

impl Guard {
    /// For a server that listens at `address`. `token` is secret and random.
    pub fn new(token: String, address: SocketAddr) -> Self {
        let port = address.port();
        let names = ["127.0.0.1", "localhost"];
        let mut hosts: Vec<String> = names.iter().map(|name| format!("{name}:{port}")).collect();
        if port == 80 {
            hosts.extend(names.map(str::to_owned));
        }
        Guard { token, hosts }
    }

    /// The path that everything is under.
    pub fn root(&self) -> String {
        format!("/{}/", self.token)
    }

    /// The path below the token.
    ///
    /// # Errors
    /// The status that tells the asker as little as possible.
    pub fn admit<'p>(
        &self,
        method: &Method,
        path: &'p str,
        headers: &HeaderMap,
    ) -> Result<&'p str, StatusCode> {
        let word = |name| {
            headers
                .get(name)
                .and_then(|value: &HeaderValue| value.to_str().ok())
        };
        let host = word(header::HOST).unwrap_or_default();
        if !self.hosts.iter().any(|own| own == host) {
            return Err(StatusCode::MISDIRECTED_REQUEST);
        }
        let origin = word(header::ORIGIN);
        let is_own = |origin: &str| {
            let host = origin.strip_prefix("http://");
            host.is_some_and(|host| self.hosts.iter().any(|own| own == host))
        };
        let is_foreign = match (origin, method) {
            (Some(origin), _) => !is_own(origin),
            // Browsers send it with every request that changes something.
            (None, &Method::GET | &Method::HEAD) => false,
            (None, _) => true,
        };
        let fetch = |name| word(header::HeaderName::from_static(name));
        let is_across = matches!(fetch("sec-fetch-site"), Some("cross-site" | "same-site"));
        // Somebody follows the link that we wrote for their browser. Who made the link has to know the token.
        let is_opened = *method == Method::GET
            && fetch("sec-fetch-mode") == Some("navigate")
            && fetch("sec-fetch-dest") == Some("document");
        if is_foreign || (is_across && !is_opened) {
            return Err(StatusCode::FORBIDDEN);
        }
        let rest = path.strip_prefix('/').unwrap_or_default();
        let (token, rest) = rest.split_once('/').unwrap_or((rest, ""));
        match is_same(token.as_bytes(), self.token.as_bytes()) {
            true => Ok(rest),
            false => Err(StatusCode::NOT_FOUND),
        }
    }

    /// What every answer carries. (`no-referrer` would make browsers hide the Origin of our own forms.)
    pub fn dress(headers: &mut HeaderMap) {
        for (name, value) in [
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "same-origin"),
            (header::X_FRAME_OPTIONS, "DENY"),
            (header::CACHE_CONTROL, "no-store"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        for (name, value) in [
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
}

/// Compares in a time that does not depend on where the two differ.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    let differences = a.iter().zip(b).fold(0, |sum, (a, b)| sum | (a ^ b));
    a.len() == b.len() && differences == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(
        method: Method,
        path: &str,
        headers: &[(&'static str, &'static str)],
    ) -> Result<String, u16> {
        let guard = Guard::new("t0ken".into(), SocketAddr::from(([127, 0, 0, 1], 7000)));
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, HeaderValue::from_static(value));
        }
        let found = guard.admit(&method, path, &map);
        found.map(str::to_owned).map_err(|status| status.as_u16())
    }

    const HOST: (&str, &str) = ("host", "127.0.0.1:7000");

    #[test]
    fn browsers_leave_the_port_80_out() {
        let ask = |port, host: &'static str| {
            let guard = Guard::new("t0ken".into(), SocketAddr::from(([127, 0, 0, 1], port)));
            let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(host))]);
            guard.admit(&Method::GET, "/t0ken/", &headers).is_ok()
        };
        assert!(ask(80, "127.0.0.1") && ask(80, "localhost:80"));
        assert!(!ask(81, "127.0.0.1"));
    }

    #[test]
    fn only_the_own_host_origin_and_token_are_let_in() {
        let own = ("origin", "http://127.0.0.1:7000");
        let evil = ("origin", "http://evil.example");
        assert_eq!(
            ask(Method::GET, "/t0ken/record", &[HOST]),
            Ok("record".into())
        );
        assert_eq!(
            ask(Method::GET, "/t0ken", &[("host", "localhost:7000")]),
            Ok(String::new())
        );
        assert_eq!(
            ask(Method::POST, "/t0ken/decide", &[HOST, own]),
            Ok("decide".into())
        );
        assert_eq!(ask(Method::POST, "/t0ken/decide", &[HOST]), Err(403));
        assert_eq!(ask(Method::POST, "/t0ken/decide", &[HOST, evil]), Err(403));
        assert_eq!(ask(Method::GET, "/t0ken/", &[HOST, evil]), Err(403));
        assert_eq!(
            ask(Method::GET, "/t0ken/", &[HOST, ("origin", "null")]),
            Err(403)
        );
        assert_eq!(
            ask(
                Method::GET,
                "/t0ken/",
                &[HOST, ("sec-fetch-site", "cross-site")]
            ),
            Err(403)
        );
        let across = ("sec-fetch-site", "cross-site");
        let opened = [
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
        ];
        let [mode, dest] = opened;
        assert!(ask(Method::GET, "/t0ken/", &[HOST, across, mode, dest]).is_ok());
        let framed = ("sec-fetch-dest", "iframe");
        assert_eq!(
            ask(Method::GET, "/t0ken/", &[HOST, across, mode, framed]),
            Err(403)
        );
        assert_eq!(
            ask(Method::POST, "/t0ken/", &[HOST, own, across, mode, dest]),
            Err(403)
        );
        assert_eq!(
            ask(Method::GET, "/t0ken/", &[("host", "evil.example:7000")]),
            Err(421)
        );
        assert_eq!(ask(Method::GET, "/t0ken/", &[]), Err(421));
        for path in ["/", "/t0ke", "/t0kenn/", "/record", "/T0KEN/"] {
            assert_eq!(ask(Method::GET, path, &[HOST]), Err(404), "{path}");
        }
    }
}
