//! The page of a cluster without recorded flows, and its message while the cluster does not answer.

use super::browser::Browser;
use super::{Ui, run};
use crate::controller::agent::Agent;
use crate::controller::operator::{Person, apply_role};
use crate::controller::process::Controller;
use crate::controller::world::World;
use crate::support::kubernetes::Cluster;
use std::fs;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// A proxy to the API server that can be closed and opened.
#[derive(Default)]
struct Door {
    is_closed: bool,
    inside: Vec<TcpStream>,
}

impl Door {
    /// Starts a proxy to `target`, `127.0.0.1:PORT`, on its own port.
    fn before(target: String) -> (Arc<Mutex<Door>>, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let door = Arc::new(Mutex::new(Door::default()));
        let own = Arc::clone(&door);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let mut door = own.lock().unwrap_or_else(PoisonError::into_inner);
                if let (false, Ok(server)) = (door.is_closed, TcpStream::connect(&target)) {
                    door.let_in(client, server);
                }
            }
        });
        (door, port)
    }

    fn let_in(&mut self, client: TcpStream, server: TcpStream) {
        for (from, to) in [(&client, &server), (&server, &client)] {
            let [mut from, mut to] = [from, to].map(|one| one.try_clone().expect("a stream"));
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Both);
            });
        }
        self.inside.extend([client, server]);
    }

    fn close(&mut self) {
        self.is_closed = true;
        for stream in self.inside.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Returns the person's kubeconfig with the proxy as its server.
fn behind_a_door(person: &Person) -> (Arc<Mutex<Door>>, std::path::PathBuf) {
    let text = fs::read_to_string(&person.kubeconfig).expect("a kubeconfig");
    let (_, server) = text.split_once("https://").expect("a server");
    let end = server.find(|c: char| c != '.' && c != ':' && !c.is_ascii_digit());
    let server = server[..end.unwrap_or(server.len())].to_owned();
    let (door, port) = Door::before(server.clone());
    let path = person.kubeconfig.with_extension("door");
    let text = text.replace(&server, &format!("127.0.0.1:{port}"));
    fs::write(&path, text).expect("a file");
    (door, path)
}

#[test]
fn the_map_has_the_traffic_before_there_are_proposals_and_reports_an_unreachable_cluster() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let controller = Controller::start(cluster, "live", &[]);
    let world = World::make(cluster);
    let mut agent = Agent::new(cluster, &controller);
    world.segment("Observe");
    agent.learn(&world, &[("web", "api", 8080)]);
    let olga = Person::new(cluster, &world, "olga", None);
    olga.reads_the_cluster(cluster);
    olga.is_everywhere(cluster, &apply_role(cluster, "viewer"));
    let (door, kubeconfig) = behind_a_door(&olga);
    let kubeconfig = kubeconfig.display().to_string();
    let arguments = [
        "--kubeconfig",
        &kubeconfig,
        "--controller-namespace",
        "default",
    ];
    let folder = olga.kubeconfig.parent().expect("a folder");
    let ui = Ui::start(folder, &arguments);
    let namespace = &world.namespace;
    run(async {
        let Some(browser) = Browser::start().await else {
            return;
        };
        browser
            .open(&ui.at(&format!("?namespace={namespace}")))
            .await;
        browser.until_text("#map", "8080").await;
        assert!(
            browser
                .text("#source")
                .await
                .contains("the controller knows")
        );
        let subject = browser.text(".subject").await;
        assert!(
            subject.contains("olga") && subject.contains("https://127.0.0.1:"),
            "{subject}"
        );
        // One more edge appears without a reload.
        tokio::task::block_in_place(|| agent.learn(&world, &[("api", "db", 5432)]));
        browser.until_text("#map", "5432").await;
        browser.picture("controller-live").await;
        let edge = format!("workload/{namespace}/Pod/web");
        browser.open(&ui.at(&edge)).await;
        browser.until_text("main", "api").await;

        door.lock().unwrap_or_else(PoisonError::into_inner).close();
        browser.until_text("main", "could not be read").await;
        assert_eq!(browser.count("#problem[role=alert]").await, 1);
        browser.picture("controller-gone").await;
        door.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_closed = false;
        browser.until_no("#problem").await;
        browser.end().await;
    });
}
