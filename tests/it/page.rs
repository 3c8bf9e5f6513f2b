//! `nanoseg ui` in a real browser.

mod browser;
mod decided;
mod kept;
mod large;
mod live;
mod narrow;
mod opening;
mod risks;
mod slow;

use crate::operator::shop::{Shop, proposal};
use crate::support::kubernetes::{Cluster, PATIENCE, until};
use browser::Browser;
use serde_json::json;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The running `nanoseg ui`.
struct Ui {
    process: Child,
    url: String,
}

impl Drop for Ui {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Ui {
    fn start(folder: &Path, arguments: &[&str]) -> Ui {
        let mut process = Command::new(env!("CARGO_BIN_EXE_nanoseg"))
            .args(["ui", "--no-browser"])
            .args(arguments)
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("nanoseg runs");
        let mut url = String::new();
        let mut stdout = BufReader::new(process.stdout.take().expect("its output"));
        stdout.read_line(&mut url).expect("a line");
        if url.is_empty() {
            let mut said = String::new();
            let stderr = process.stderr.as_mut().expect("its errors");
            let _ = stderr.read_to_string(&mut said);
            panic!("no URL: {said}");
        }
        Ui {
            process,
            url: url.trim_end().to_owned(),
        }
    }

    /// The bundled sample, offline.
    fn sample() -> Ui {
        Ui::start(Path::new(env!("CARGO_MANIFEST_DIR")), &["policies-out"])
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Returns `HOST:PORT` and the path with the token.
    fn parts(&self) -> (&str, String) {
        let rest = self.url.strip_prefix("http://").expect("http");
        let (host, path) = rest.split_once('/').expect("a path");
        (host, format!("/{path}"))
    }

    /// Sends a request exactly as given. Returns the status and the complete answer.
    fn raw(&self, method: &str, path: &str, headers: &[&str], body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.parts().0).expect("it listens");
        let length = body.len();
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {length}\r\n"
        );
        for header in headers {
            request.push_str(header);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        request.push_str(body);
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let status = answer.split(' ').nth(1).and_then(|word| word.parse().ok());
        (status.expect("a status"), answer)
    }
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(test)
}

#[test]
fn only_requests_with_the_token_and_from_the_page_itself_are_answered() {
    let ui = Ui::sample();
    let (host, path) = ui.parts();
    let own = format!("Host: {host}");
    let (status, answer) = ui.raw("GET", &path, &[&own], "");
    assert_eq!(status, 200);
    let head = answer
        .split("\r\n\r\n")
        .next()
        .expect("headers")
        .to_lowercase();
    for header in [
        "content-security-policy: default-src 'none'; script-src 'self'",
        "x-content-type-options: nosniff",
        "referrer-policy: same-origin",
        "cache-control: no-store",
    ] {
        assert!(head.contains(header), "{header} in {head}");
    }
    let status = |method: &str, path: &str, headers: &[&str]| ui.raw(method, path, headers, "").0;
    assert_eq!(status("GET", "/", &[&own]), 404, "without the token");
    assert_eq!(
        status("GET", &path.replace(&path[1..5], "0000"), &[&own]),
        404
    );
    assert_eq!(
        status("GET", &path, &["Host: evil.example"]),
        421,
        "a name made to point here"
    );
    assert_eq!(
        status("GET", &path, &[&own, "Origin: http://evil.example"]),
        403
    );
    let decide = format!("{path}decide");
    assert_eq!(status("POST", &decide, &[&own]), 403, "no Origin");
    assert_eq!(
        status("POST", &decide, &[&own, "Origin: https://evil.example"]),
        403
    );
    assert_eq!(status("POST", &decide, &[&own, "Origin: null"]), 403);
    assert_eq!(
        status("DELETE", &path, &[&own, &format!("Origin: http://{host}")]),
        405
    );
}

#[test]
fn a_decision_without_a_reason_is_refused_by_the_server() {
    let ui = Ui::sample();
    let (host, path) = ui.parts();
    let decide = |form: &str| {
        let headers = [format!("Host: {host}"), format!("Origin: http://{host}")];
        let headers = headers.each_ref().map(String::as_str);
        ui.raw("POST", &format!("{path}decide"), &headers, form)
    };
    let one = "one=shop/nanoseg-app/sha256:0&verb=approve";
    for reason in ["", "&reason=", "&reason=%20%0a"] {
        let (status, said) = decide(&format!("{one}{reason}"));
        assert_eq!(status, 400, "{said}");
        assert!(said.contains("There is no reason"), "{said}");
    }
    let (status, said) = decide(&format!("{one}&reason=why"));
    assert_eq!(status, 400, "{said}");
    assert!(said.contains("changed since the page showed it"), "{said}");
    assert_eq!(decide("verb=other&reason=why").0, 400);
}

#[test]
fn every_view_of_a_folder_shows_its_data() {
    let ui = Ui::sample();
    run(async {
        let Some(browser) = Browser::start().await else {
            return;
        };
        browser.open(&ui.url).await;
        assert_eq!(
            browser.text("#summary").await,
            "36 of 36 edges, 16 workloads"
        );
        assert_eq!(browser.count("svg .area").await, 3);
        assert!(browser.count("svg .edge.risky").await >= 2);
        browser.picture("map").await;

        // Search highlights, the keyboard zooms, and a node links to its workload.
        browser.write("#search", "postgres").await;
        assert_eq!(browser.count("svg .node.hit").await, 1);
        assert_eq!(browser.text("#live").await, "1 found");
        let before = browser
            .ask("return document.querySelector('#map svg').getAttribute('viewBox')")
            .await;
        browser.write("#map", "+").await;
        let after = browser
            .ask("return document.querySelector('#map svg').getAttribute('viewBox')")
            .await;
        assert_ne!(before, after);
        browser
            .ask("document.querySelector('svg .node.hit').focus()")
            .await;
        let focus = "return document.activeElement.getAttribute('href')";
        let href = browser.ask(focus).await;
        assert!(
            href.as_str()
                .is_some_and(|href| href.ends_with("/workload/shop/StatefulSet/postgres")),
            "{href}"
        );

        browser.open(&ui.at("?namespace=shop&verdict=risky")).await;
        assert!(browser.text("#summary").await.starts_with("2 of 36"));
        browser.ask("document.querySelector('svg .edge').dispatchEvent(new MouseEvent('click', {bubbles: true}))").await;
        assert!(browser.text("main h1").await.contains('→'));
        assert!(browser.text("main").await.contains("Samples"));
        browser.picture("edge").await;

        browser.open(&ui.at("proposals")).await;
        assert_eq!(browser.count("tbody tr").await, 14);
        let decides = browser.count("main button[name=verb]").await;
        assert_eq!(decides, 0, "a folder decides nothing");
        browser.picture("proposals").await;
        browser.open(&ui.at("proposal/shop/nanoseg-app")).await;
        let text = browser.text("main").await;
        assert!(
            text.contains("Evidence of what it allows") && text.contains("+ podSelector:"),
            "{text}"
        );
        browser.picture("proposal").await;

        browser.open(&ui.at("workloads")).await;
        assert_eq!(browser.count("tbody tr").await, 16);
        browser.open(&ui.at("workload/shop/Deployment/app")).await;
        let text = browser.text("main").await;
        assert!(text.contains("as proposed 5 5 5 5"), "{text}");
        browser.picture("workload").await;

        let exporter = ui.at("workload/monitoring/DaemonSet/node-exporter");
        browser.open(&exporter).await;
        let text = browser.text("main").await;
        assert!(text.contains("host network"), "{text}");
        let only_calls = ui.at("edge?from=address/198.51.100.7&to=any");
        browser.open(&ui.url).await;
        let node = ".node[href$='edge?from=address%2F198.51.100.7&to=any']";
        assert_eq!(browser.count(node).await, 1);
        browser.open(&only_calls).await;
        assert!(browser.text("main").await.contains("shop/web"));

        browser.open(&ui.at("record")).await;
        assert!(
            browser
                .text("main")
                .await
                .contains("There is no record here")
        );
        let missing = ui.at("workload/shop/Deployment/nothing");
        browser.open(&missing).await;
        assert!(browser.text("main").await.contains("no such page"));
        browser.end().await;
    });
}

#[test]
fn what_if_shows_what_would_be_blocked_and_opened() {
    let ui = Ui::sample();
    run(async {
        let Some(browser) = Browser::start().await else {
            return;
        };
        browser.open(&ui.at("what-if")).await;
        browser.write("[name=server]", "shop/redis").await;
        browser.write("[name=client]", "shop/legacy").await;
        browser.write("[name=port]", "6379/TCP").await;
        browser.submit("button[value=draw]").await;
        let answer = browser.text("#answer").await;
        // The client's own egress is open: shop/legacy has no policy.
        assert!(
            answer.contains("Breaks 0 recorded connections, opens 1, closes 0."),
            "{answer}"
        );
        assert!(
            answer.contains("allowed by shop/what-if-redis, spec.ingress[0]"),
            "{answer}"
        );
        browser.picture("what-if").await;
        // The drawn policy can be edited and evaluated again.
        let drawn = browser
            .ask("return document.getElementById('yaml').value")
            .await;
        assert!(
            drawn
                .as_str()
                .is_some_and(|yaml| yaml.starts_with("apiVersion: networking.k8s.io/v1\nkind:")),
            "{drawn}"
        );
        browser.submit("button[value=ask]").await;
        assert!(browser.text("#answer").await.contains("opens 1, closes 0."));

        browser.open(&ui.at("what-if")).await;
        let closed = "kind: NetworkPolicy\napiVersion: networking.k8s.io/v1\nmetadata: {name: nanoseg-redis, namespace: shop}\n\
                      spec: {podSelector: {matchLabels: {app.kubernetes.io/name: redis}}, policyTypes: [Ingress]}\n";
        browser.write("#yaml", closed).await;
        browser.submit("button[value=ask]").await;
        let answer = browser.text("#answer").await;
        assert!(answer.contains("shop/app shop/redis TCP 6379"), "{answer}");

        browser.open(&ui.at("what-if")).await;
        browser.write("#yaml", "{").await;
        browser.submit("button[value=ask]").await;
        assert!(
            browser
                .text("[role=alert]")
                .await
                .contains("what was pasted")
        );
        browser.end().await;
    });
}

#[test]
fn hostile_names_are_escaped_on_every_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let evil = "<script>document.title=1</script>";
    let out = folder.path().join("out");
    fs::create_dir(&out).expect("a folder");
    let copy = |from: &Path, to: &Path| {
        let text = fs::read_to_string(from).expect("a file");
        // A DNS name that an attacker chose, and a workload of that name.
        let text = text
            .replace("api.payments.example", evil)
            .replace("\"legacy\"", &format!("\"{evil}\""));
        fs::write(
            to,
            text.replace("name: legacy\n", &format!("name: \"{evil}\"\n")),
        )
        .expect("a file");
    };
    copy(
        &root.join("policies-out/report.json"),
        &out.join("report.json"),
    );
    copy(
        &root.join("samples/shop/cluster.yaml"),
        &folder.path().join("cluster.yaml"),
    );
    fs::create_dir(out.join("shop")).expect("a folder");
    fs::copy(
        root.join("policies-out/shop/app.yaml"),
        out.join("shop/app.yaml"),
    )
    .expect("a policy");
    let ui = Ui::start(folder.path(), &["out", "--cluster", "cluster.yaml"]);
    run(async {
        let Some(browser) = Browser::start().await else {
            return;
        };
        for path in [
            "",
            "workloads",
            "proposals",
            "proposal/shop/nanoseg-app",
            "workload/shop/Deployment/app",
            "what-if",
        ] {
            browser.open(&ui.at(path)).await;
            let title = browser.ask("return document.title").await;
            assert!(
                title
                    .as_str()
                    .is_some_and(|title| title.ends_with("– nanoseg")),
                "{path}: {title}"
            );
            assert_eq!(browser.count("main script, svg script").await, 0, "{path}");
        }
        browser.open(&ui.url).await;
        assert!(
            browser.text("svg").await.contains("<script>"),
            "it is there, as text"
        );
        browser.end().await;
    });
}

#[test]
fn an_operator_approves_on_the_page_and_rbac_controls_who_may() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let shop = Shop::make(cluster);
    for (user, role) in [
        ("rosa", "nanoseg-reader"),
        ("rosa", "nanoseg-viewer"),
        ("vera", "nanoseg-reader"),
        ("vera", "nanoseg-viewer"),
    ] {
        let name = cluster.name("page");
        let bind = [
            "create",
            "clusterrolebinding",
            &name,
            "--user",
            user,
            "--clusterrole",
            role,
        ];
        let bound = cluster.kubectl(&bind);
        assert!(bound.status.success(), "{bound:?}");
    }
    shop.propose("web-1", &proposal("low", "1"), json!({"phase": "Pending"}));
    // A new resource is not listed immediately.
    cluster.run(until(PATIENCE, "the list of decisions", async || {
        let listed = cluster.kubectl(&["get", "proposaldecisions", "-A"]);
        listed
            .status
            .success()
            .then_some(())
            .ok_or_else(|| format!("{listed:?}"))
    }));
    let ui = |kubeconfig: &Path| {
        let path = kubeconfig.display().to_string();
        Ui::start(
            kubeconfig.parent().expect("a folder"),
            &["--kubeconfig", &path],
        )
    };
    let (rosa, vera) = (ui(&shop.rosa), ui(&shop.vera));
    let page = format!("proposal/{}/web-1", shop.namespace);
    std::thread::scope(|scope| {
        scope.spawn(|| answer(&shop));
        run(async {
            let Some(browser) = Browser::start().await else {
                return;
            };
            // A user who may only read gets the refusal of the API server.
            browser.open(&vera.at(&page)).await;
            browser.click("[name=read]").await;
            browser.write("[name=reason]", "looked at it").await;
            browser.submit("button[value=approve]").await;
            let said = browser.text("#decided").await;
            assert!(said.contains("not permitted"), "{said}");

            // A new proposal appears without a reload.
            browser.open(&rosa.at("proposals")).await;
            let before = browser.count("tbody tr").await;
            tokio::task::block_in_place(|| {
                shop.propose("web-2", &proposal("high", "2"), json!({"phase": "Pending"}));
            });
            let wanted = format!("a[href$='/proposal/{}/web-2']", shop.namespace);
            browser.find(&wanted).await;
            assert_eq!(browser.count("tbody tr").await, before + 1);
            browser.click("#all").await;
            let open = browser.count("input[name=one]").await;
            assert!(open >= 2, "{open}");
            assert_eq!(browser.count("input[name=one]:checked").await, open);
            browser.picture("queue-all").await;
            // Each proposal has its own checkbox: none of several is approved unread.
            browser.write("[name=reason]", "all of them").await;
            browser.submit("button[value=approve]").await;
            let said = browser.text("#decided").await;
            assert!(
                said.contains("/web-2 would block 1 recorded connection"),
                "{said}"
            );
            browser.picture("refused").await;

            browser.open(&rosa.at(&page)).await;
            browser.write("[name=reason]", "looked at it").await;
            // Enter makes no decision, and a proposal that blocks recorded connections is not approved unread.
            let sent = browser.ask(ENTER_SENDS).await;
            assert_eq!(sent, serde_json::Value::Null);
            browser.write("[name=reason]", "\u{e007}").await;
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert_eq!(browser.ask("return window.isSent").await, false);
            browser.submit("button[value=approve]").await;
            let said = browser.text("#decided").await;
            assert!(said.contains("would block 1 recorded connection"), "{said}");
            browser.open(&rosa.at(&page)).await;
            browser.click("[name=read]").await;
            browser.write("[name=reason]", "looked at it").await;
            browser.picture("decide").await;
            browser.submit("button[value=approve]").await;
            let said = browser.text("#decided").await;
            assert!(
                said.contains("web-1") && said.contains("approved"),
                "{said}"
            );
            browser.end().await;
        });
    });
    let decisions = shop.decisions("web-1");
    assert_eq!(decisions.len(), 1);
    assert_eq!(decisions[0].spec.decided_by, "rosa");
    assert_eq!(decisions[0].spec.reason, "looked at it");
}

/// Stores whether a form is submitted.
const ENTER_SENDS: &str =
    "window.isSent = false; document.addEventListener('submit', () => { window.isSent = true; })";

/// Simulates the controller: accepts the decision as soon as it is created.
fn answer(shop: &Shop) {
    shop.cluster.run(async {
        let decision = until(PATIENCE, "a decision", async || {
            let made = shop.decisions_now("web-1").await.pop();
            made.ok_or_else(|| "there is none".to_owned())
        });
        shop.accept(&decision.await).await;
    });
}
