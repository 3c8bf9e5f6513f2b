//! Options that say which cluster, which namespaces and which controller a command is about.

use crate::cluster::ConnectSettings;
#[cfg(feature = "cluster")]
use crate::load::{BlockingClient, LoadError};
use std::path::PathBuf;

/// Which cluster, and as which user; read as kubectl reads it.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct AccessArgs {
    /// The kubeconfig to use (default: KUBECONFIG, ~/.kube/config, the ServiceAccount of the pod).
    #[arg(long, value_name = "FILE", help_heading = "Cluster")]
    kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig to use (default: its current one).
    #[arg(long, value_name = "NAME", help_heading = "Cluster")]
    context: Option<String>,
}

impl AccessArgs {
    pub fn settings(&self) -> ConnectSettings {
        ConnectSettings {
            kubeconfig: self.kubeconfig.clone(),
            context: self.context.clone(),
        }
    }

    /// Reads the kubeconfig. No request is sent yet.
    ///
    /// # Errors
    /// The kubeconfig is missing or wrong.
    #[cfg(feature = "cluster")]
    pub fn connect(&self) -> Result<BlockingClient, LoadError> {
        BlockingClient::new(&self.settings())
    }
}

#[cfg(feature = "cluster")]
/// Which namespaces to look at.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct NamespaceArgs {
    /// The namespace (default: the one of the kubeconfig's context).
    #[arg(long, short, value_name = "NS")]
    namespace: Option<String>,
    /// All namespaces.
    #[arg(long, short = 'A', conflicts_with = "namespace")]
    all_namespaces: bool,
}

#[cfg(feature = "cluster")]
impl NamespaceArgs {
    pub fn is_all(&self) -> bool {
        self.all_namespaces
    }

    /// The namespace; `None`: all of them.
    pub fn namespace<'a>(&'a self, client: &'a BlockingClient) -> Option<&'a str> {
        let named = self.namespace.as_deref();
        (!self.all_namespaces).then(|| named.unwrap_or(&client.default_namespace))
    }

    /// Where nothing was found, in words.
    pub fn place(&self, client: &BlockingClient) -> String {
        match self.namespace(client) {
            Some(namespace) => format!("namespace {namespace}"),
            None => "any namespace".into(),
        }
    }
}

/// One namespace.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct NamespaceArg {
    /// The namespace (default: the one of the kubeconfig's context).
    #[arg(long, short, value_name = "NS")]
    pub namespace: Option<String>,
}

#[cfg(feature = "cluster")]
impl NamespaceArg {
    /// The namespace that was named, else that of the context.
    pub fn or_default(&self, client: &BlockingClient) -> String {
        let named = self.namespace.clone();
        named.unwrap_or_else(|| client.default_namespace.clone())
    }
}

#[cfg(feature = "cluster")]
/// Where the controller is.
#[derive(Debug, Clone, clap::Args)]
pub struct ControllerArgs {
    /// The namespace of the controller, for the record that it publishes.
    #[arg(
        long,
        value_name = "NS",
        default_value = "nanoseg",
        help_heading = "Cluster"
    )]
    pub controller_namespace: String,
}
