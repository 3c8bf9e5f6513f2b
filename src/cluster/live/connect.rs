//! Makes a client from a kubeconfig or from the pod, in kubectl's order: `--kubeconfig`, `KUBECONFIG`,
//! `~/.kube/config`, the ServiceAccount of the pod. It sends no request.

use crate::cluster::ConnectSettings;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;

/// The most time that a new connection may take, TLS included.
const CONNECT: Duration = Duration::from_secs(10);
/// The longest silence of a connection while a response is awaited. Watches receive data far more often
/// (`watches`), and this limit does not apply to exec plug-ins.
const SILENCE: Duration = Duration::from_secs(30);

/// A client, and the namespace that its context names.
#[derive(Clone)]
pub struct Connection {
    pub client: Client,
    /// The cluster's name for people: `prod (https://203.0.113.1:6443)`.
    pub cluster: String,
    /// The namespace of the context, or of the pod; otherwise `default`.
    pub namespace: String,
}

/// The reason why there is no client.
#[derive(Debug, Error)]
pub enum ConnectError {
    #[error("failed to read kubeconfig {path}: {reason}; give the right file with --kubeconfig")]
    File { path: PathBuf, reason: String },
    #[error(
        "failed to read any file of KUBECONFIG={paths}: none exists; set it to a kubeconfig, or give --kubeconfig"
    )]
    NoFile { paths: String },
    #[error(
        "failed to find context {context} in {source_name}: it has {known}; choose one with --context"
    )]
    Context {
        context: String,
        source_name: String,
        known: String,
    },
    #[error("failed to use {source_name}: {reason}; check its context with `kubectl config view`")]
    Unusable { source_name: String, reason: String },
    #[error(
        "failed to use the ServiceAccount of this pod: {0}; see that automountServiceAccountToken is not false"
    )]
    Pod(String),
    #[error(
        "failed to find a cluster: there is no KUBECONFIG and no {home}, and this is no pod; give --kubeconfig"
    )]
    Nothing { home: String },
}

/// Makes a client. It sends no request to the cluster yet.
///
/// # Errors
/// Names the file that is missing or wrong, and what to do.
pub async fn connect(settings: &ConnectSettings) -> Result<Connection, ConnectError> {
    let (mut config, context, source_name) = match kubeconfig(settings)? {
        Some((file, name)) => {
            let context = settings.context.clone().or(file.current_context.clone());
            (from_file(file, &name, settings).await?, context, name)
        }
        None => {
            let name = "the pod's ServiceAccount".to_owned();
            (from_pod(settings)?, None, name)
        }
    };
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(SILENCE);
    config.write_timeout = Some(SILENCE);
    // Otherwise the time that a pooled connection was idle would count as silence before the next response.
    config.reset_reader_on_write = true;
    // A write may be sent only immediately after its fence was asked, so no layer may repeat it later.
    config.default_retry = false;
    let namespace = config.default_namespace.clone();
    let server = config.cluster_url.to_string();
    let server = server.trim_end_matches('/');
    let cluster = match context {
        Some(context) => format!("{context} ({server})"),
        None => server.to_owned(),
    };
    let client = Client::try_from(config).map_err(|e| ConnectError::Unusable {
        source_name,
        reason: describe(&e),
    })?;
    Ok(Connection {
        client,
        cluster,
        namespace,
    })
}

/// Returns the kubeconfig to use, with a name for people. `None`: there is none, so this process should run in
/// a pod.
fn kubeconfig(settings: &ConnectSettings) -> Result<Option<(Kubeconfig, String)>, ConnectError> {
    if let Some(path) = &settings.kubeconfig {
        return Ok(Some((read(path)?, path.display().to_string())));
    }
    let listed = std::env::var_os("KUBECONFIG").unwrap_or_default();
    let paths: Vec<PathBuf> = std::env::split_paths(&listed)
        .filter(|path| !path.as_os_str().is_empty())
        .collect();
    if !paths.is_empty() {
        return merged(&paths).map(Some);
    }
    match home().filter(|path| path.exists()) {
        Some(path) => Ok(Some((read(&path)?, path.display().to_string()))),
        None => Ok(None),
    }
}

fn home() -> Option<PathBuf> {
    Some(std::env::home_dir()?.join(".kube").join("config"))
}

/// Files of the list that do not exist are skipped, as kubectl does.
fn merged(paths: &[PathBuf]) -> Result<(Kubeconfig, String), ConnectError> {
    let name = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect::<Vec<_>>()
        .join(":");
    let mut all: Option<Kubeconfig> = None;
    for path in paths.iter().filter(|path| path.exists()) {
        let next = read(path)?;
        let merged = match all {
            Some(before) => before
                .merge(next)
                .map_err(|e| unreadable(path, &describe(&e)))?,
            None => next,
        };
        all = Some(merged);
    }
    match all {
        Some(config) => Ok((config, name)),
        None => Err(ConnectError::NoFile { paths: name }),
    }
}

fn read(path: &Path) -> Result<Kubeconfig, ConnectError> {
    Kubeconfig::read_from(path).map_err(|error| match error {
        KubeconfigError::ReadConfig(source, _) => unreadable(path, &source.to_string()),
        other => unreadable(path, &describe(&other)),
    })
}

fn unreadable(path: &Path, reason: &str) -> ConnectError {
    ConnectError::File {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}

async fn from_file(
    file: Kubeconfig,
    name: &str,
    settings: &ConnectSettings,
) -> Result<Config, ConnectError> {
    let known: Vec<String> = file.contexts.iter().map(|c| c.name.clone()).collect();
    let wanted = settings.context.clone().or(file.current_context.clone());
    let wanted = wanted.unwrap_or_default();
    if !known.contains(&wanted) {
        return Err(ConnectError::Context {
            context: if wanted.is_empty() {
                "(none is current)".into()
            } else {
                wanted
            },
            source_name: name.to_owned(),
            known: if known.is_empty() {
                "none".to_owned()
            } else {
                known.join(", ")
            },
        });
    }
    let authority = authority_file(&file, &wanted);
    let options = KubeConfigOptions {
        context: Some(wanted),
        ..KubeConfigOptions::default()
    };
    let config = Config::from_custom_kubeconfig(file, &options).await;
    let mut config = config.map_err(|e| ConnectError::Unusable {
        source_name: name.to_owned(),
        reason: describe(&e),
    })?;
    // The client reads it again every minute, as it does with the pod's own.
    config.root_cert_file = authority;
    Ok(config)
}

/// The file of the API server's authority, if the kubeconfig names one and does not hold its content.
/// (rule: certificates-are-read-again)
fn authority_file(file: &Kubeconfig, context: &str) -> Option<PathBuf> {
    let mut contexts = file.contexts.iter();
    let context = contexts.find(|named| named.name == context)?;
    let name = &context.context.as_ref()?.cluster;
    let mut clusters = file.clusters.iter();
    let cluster = clusters.find(|named| named.name == *name)?;
    let cluster = cluster.cluster.as_ref()?;
    match cluster.certificate_authority_data {
        Some(_) => None,
        None => cluster.certificate_authority.as_ref().map(PathBuf::from),
    }
}

fn from_pod(settings: &ConnectSettings) -> Result<Config, ConnectError> {
    if std::env::var_os("KUBERNETES_SERVICE_HOST").is_none() {
        let home = home().map_or("~/.kube/config".to_owned(), |p| p.display().to_string());
        return Err(ConnectError::Nothing { home });
    }
    if let Some(context) = &settings.context {
        return Err(ConnectError::Context {
            context: context.clone(),
            source_name: "the pod's ServiceAccount".into(),
            known: "none".into(),
        });
    }
    Config::incluster().map_err(|e| ConnectError::Pod(describe(&e)))
}

/// Returns an error with its causes, each text once.
pub(super) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn config_of(context: &str, namespace: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: {context}\n\
             clusters: [{{name: here, cluster: {{server: 'http://127.0.0.1:1'}}}}]\n\
             users: [{{name: me, user: {{token: t}}}}]\n\
             contexts: [{{name: {context}, context: {{cluster: here, user: me, namespace: {namespace}}}}}]\n"
        )
    }

    fn at(path: &Path, context: Option<&str>) -> ConnectSettings {
        ConnectSettings {
            kubeconfig: Some(path.to_owned()),
            context: context.map(str::to_owned),
        }
    }

    #[tokio::test]
    async fn the_contexts_namespace_is_the_default_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = write(folder.path(), "config", &config_of("prod", "shop"));
        let connection = connect(&at(&path, None)).await.unwrap();
        assert_eq!(connection.namespace, "shop");
    }

    #[tokio::test]
    async fn errors_name_the_file_and_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("nowhere");
        let error = connect(&at(&missing, None))
            .await
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.contains("nowhere") && error.contains("--kubeconfig"),
            "{error}"
        );

        let broken = write(folder.path(), "broken", "clusters: {");
        let error = connect(&at(&broken, None)).await.err().unwrap().to_string();
        assert!(
            error.contains("broken") && error.contains("--kubeconfig"),
            "{error}"
        );

        let path = write(folder.path(), "config", &config_of("prod", "shop"));
        let error = connect(&at(&path, Some("test")))
            .await
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains("context test"), "{error}");
        assert!(
            error.contains("it has prod") && error.contains("--context"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn an_authority_that_a_kubeconfig_names_by_its_file_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let authority = rcgen::generate_simple_self_signed(["api".to_owned()]).unwrap();
        let ca = write(folder.path(), "ca.crt", &authority.cert.pem());
        let named = config_of("prod", "shop").replace(
            "server: 'http://127.0.0.1:1'",
            "server: 'https://127.0.0.1:1', certificate-authority: ca.crt",
        );
        let path = write(folder.path(), "config", &named);
        let settings = at(&path, None);
        let config = from_file(read(&path).unwrap(), "config", &settings).await;
        assert_eq!(config.unwrap().root_cert_file, Some(ca));
        assert!(connect(&settings).await.is_ok());
    }

    #[test]
    fn files_of_the_list_that_do_not_exist_are_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let first = write(folder.path(), "first", &config_of("prod", "shop"));
        let second = write(folder.path(), "second", &config_of("test", "lab"));
        let missing = folder.path().join("nowhere");
        let (config, _) = merged(&[missing.clone(), first, second]).unwrap();
        assert_eq!(config.current_context.as_deref(), Some("prod"));
        assert_eq!(config.contexts.len(), 2);
        let error = merged(&[missing]).err().unwrap().to_string();
        assert!(
            error.contains("nowhere") && error.contains("none exists"),
            "{error}"
        );
    }
}
