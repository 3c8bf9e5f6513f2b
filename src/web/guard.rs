//! Access control, as middleware around all routes: only a browser that was given the URL with its token, on a page
//! that this server made, gets an answer. This protects against other pages in the same browser (cross-site requests),
//! against names that are made to point at loopback (DNS rebinding), and against other users of the machine.

use axum::extract::{Request, State};
use axum::http::uri::{PathAndQuery, Uri};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::SocketAddr;
use std::sync::Arc;

/// What a request must have.
#[derive(Debug, Clone)]
pub struct Guard {
    token: String,
    /// `127.0.0.1:PORT` and `localhost:PORT`; for port 80, which browsers leave out, also without it.
    hosts: Vec<String>,
}

/// Scripts, styles and connections of this server only; nobody may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The middleware: refuses what [`Guard::admit`] refuses, passes on the rest with the path below the token, and puts
/// the headers of [`Guard::secure`] on every answer, refusals and errors too.
pub async fn protect(
    State(guard): State<Arc<Guard>>,
    mut request: Request,
    next: Next,
) -> Response {
    let admitted = guard.admit(request.method(), request.uri().path(), request.headers());
    let below = admitted.and_then(|path| below_token(request.uri(), path));
    let mut response = match below {
        Ok(uri) => {
            *request.uri_mut() = uri;
            next.run(request).await
        }
        Err(status) => (status, "not here\n").into_response(),
    };
    Guard::secure(response.headers_mut());
    response
}

/// The same URI with `path` as its path.
///
/// # Errors
/// 400 if that is no URI, which a part of one always is.
fn below_token(uri: &Uri, path: &str) -> Result<Uri, StatusCode> {
    let target = match uri.query() {
        Some(query) => format!("/{path}?{query}"),
        None => format!("/{path}"),
    };
    let target = PathAndQuery::try_from(target).map_err(|_| StatusCode::BAD_REQUEST)?;
    Ok(Uri::from(target))
}

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

    /// The path that all pages are under, with the token.
    pub fn root(&self) -> String {
        format!("/{}/", self.token)
    }

    /// The path below the token.
    ///
    /// # Errors
    /// A status that reveals as little as possible.
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
        // Somebody follows the link in the file that was written for their browser. The author of the link knows the
        // token.
        let is_opened = *method == Method::GET
            && fetch("sec-fetch-mode") == Some("navigate")
            && fetch("sec-fetch-dest") == Some("document");
        if is_foreign || (is_across && !is_opened) {
            return Err(StatusCode::FORBIDDEN);
        }
        let rest = path.strip_prefix('/').unwrap_or_default();
        let (token, rest) = rest.split_once('/').unwrap_or((rest, ""));
        if is_same(token.as_bytes(), self.token.as_bytes()) {
            Ok(rest)
        } else {
            Err(StatusCode::NOT_FOUND)
        }
    }

    /// Sets the headers that every answer has. (`no-referrer` would make browsers hide the Origin of the page's own forms.)
    pub fn secure(headers: &mut HeaderMap) {
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
    fn the_path_below_the_token_keeps_its_query_and_its_escapes() {
        let uri: Uri = "/t0ken/proposal/a%2Fb/c?x=%20&y".parse().expect("a URI");
        let below = below_token(&uri, "proposal/a%2Fb/c").expect("a URI");
        assert_eq!(below.to_string(), "/proposal/a%2Fb/c?x=%20&y");
        let root: Uri = "/t0ken".parse().expect("a URI");
        assert_eq!(below_token(&root, "").expect("a URI").to_string(), "/");
    }

    #[test]
    fn the_host_may_leave_out_port_80() {
        let ask = |port, host: &'static str| {
            let guard = Guard::new("t0ken".into(), SocketAddr::from(([127, 0, 0, 1], port)));
            let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(host))]);
            guard.admit(&Method::GET, "/t0ken/", &headers).is_ok()
        };
        assert!(ask(80, "127.0.0.1") && ask(80, "localhost:80"));
        assert!(!ask(81, "127.0.0.1"));
    }

    #[test]
    fn only_the_own_host_origin_and_token_are_admitted() {
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
