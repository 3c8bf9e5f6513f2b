//! Access control, as middleware around all routes: only a browser that was given the URL with its token, on a page
//! that this server made, gets an answer. This protects against other pages in the same browser (cross-site requests),
//! against names that are made to point at loopback (DNS rebinding), and against other users of the machine.

use crate::listen::ConnectionHandle;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::uri::{PathAndQuery, Uri};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// How long the body of a request may take. (rule: connections-are-bounded)
const BODY_TIME: Duration = Duration::from_secs(10);
/// The most bytes of a body: decisions on some thousand proposals.
const BODY_BYTES: usize = 2 << 20;
/// Who owns all connections that have shown the token.
const OWNER: &str = "operator";

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
    let connection = request.extensions().get::<ConnectionHandle>().cloned();
    let admitted = guard.admit(request.method(), request.uri(), request.headers());
    let below = admitted.and_then(|path| below_token(request.uri(), path));
    if let (Err(_), Some(connection)) = (&below, &connection) {
        connection.refused();
    }
    let answered = async {
        let uri = below?;
        if let Some(connection) = &connection {
            let stays = connection.stay(Some(OWNER));
            stays.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
        }
        *request.uri_mut() = uri;
        Ok(next.run(with_whole_body(request).await?).await)
    };
    let answered: Result<Response, StatusCode> = answered.await;
    let mut response = answered.unwrap_or_else(|status| (status, "not here\n").into_response());
    Guard::secure(response.headers_mut());
    response
}

/// Waits for the whole body, so that no handler waits for a client.
///
/// # Errors
/// 408 if it takes too long, 413 if it is too long or broken off.
async fn with_whole_body(request: Request) -> Result<Request, StatusCode> {
    let (parts, body) = request.into_parts();
    let body = tokio::time::timeout(BODY_TIME, to_bytes(body, BODY_BYTES)).await;
    let body = body.map_err(|_| StatusCode::REQUEST_TIMEOUT)?;
    let body = body.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
    Ok(Request::from_parts(parts, Body::from(body)))
}

/// The value of a header by which something is decided.
///
/// # Errors
/// 400 if there is more than one, of which somebody before us may have believed the other, or it is no text.
fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, StatusCode> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(StatusCode::BAD_REQUEST);
    }
    let text = first.map(HeaderValue::to_str).transpose();
    text.map_err(|_| StatusCode::BAD_REQUEST)
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
        uri: &'p Uri,
        headers: &HeaderMap,
    ) -> Result<&'p str, StatusCode> {
        let host = single(headers, &header::HOST)?.unwrap_or_default();
        let is_host = |host: &str| self.hosts.iter().any(|own| own == host);
        // A request for a proxy names the host twice (RFC 9112, 3.2.2).
        let is_other = uri
            .authority()
            .is_some_and(|other| !is_host(other.as_str()));
        if !is_host(host) || is_other {
            return Err(StatusCode::MISDIRECTED_REQUEST);
        }
        let origin = single(headers, &header::ORIGIN)?;
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
        let fetch = |name| single(headers, &HeaderName::from_static(name));
        let is_across = matches!(fetch("sec-fetch-site")?, Some("cross-site" | "same-site"));
        // Somebody follows the link in the file that was written for their browser. The author of the link knows the
        // token.
        let is_opened = *method == Method::GET
            && fetch("sec-fetch-mode")? == Some("navigate")
            && fetch("sec-fetch-dest")? == Some("document");
        if is_foreign || (is_across && !is_opened) {
            return Err(StatusCode::FORBIDDEN);
        }
        let rest = uri.path().strip_prefix('/').unwrap_or_default();
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
            map.append(*name, HeaderValue::from_static(value));
        }
        let uri = path.parse().expect("a URI");
        let found = guard.admit(&method, &uri, &map);
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
            let uri = Uri::from_static("/t0ken/");
            guard.admit(&Method::GET, &uri, &headers).is_ok()
        };
        assert!(ask(80, "127.0.0.1") && ask(80, "localhost:80"));
        assert!(!ask(81, "127.0.0.1"));
    }

    #[test]
    fn a_request_that_names_two_hosts_or_origins_is_refused() {
        let evil = ("host", "evil.example");
        let origin = ("origin", "http://127.0.0.1:7000");
        for headers in [[HOST, evil], [evil, HOST], [HOST, HOST]] {
            assert_eq!(ask(Method::GET, "/t0ken/", &headers), Err(400));
        }
        let origins = [HOST, origin, ("origin", "http://evil.example")];
        assert_eq!(ask(Method::POST, "/t0ken/", &origins), Err(400));
        let fetched = [
            HOST,
            ("sec-fetch-site", "none"),
            ("sec-fetch-site", "cross-site"),
        ];
        assert_eq!(ask(Method::GET, "/t0ken/", &fetched), Err(400));
        let elsewhere = "http://evil.example/t0ken/";
        assert_eq!(ask(Method::GET, elsewhere, &[HOST]), Err(421));
        assert!(ask(Method::GET, "http://127.0.0.1:7000/t0ken/", &[HOST]).is_ok());
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
