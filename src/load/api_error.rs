//! What an API server refused, with the remedy.

/// Why the API server did not do what was asked. `what` is what was tried: `list pods`.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error(
        "failed to {what}: the API server does not know you ({message}); log in again, or choose another context with --context"
    )]
    Unauthenticated { what: String, message: String },
    #[error(
        "failed to {what}: not permitted: {message}; ask for the role nanoseg-viewer to read, nanoseg-operator to decide, or nanoseg-reader to look at the whole cluster (deploy/base/access)"
    )]
    Forbidden { what: String, message: String },
    /// The roles of nanoseg do not give this right: it is about the whole cluster.
    #[error(
        "failed to {what}: not permitted: {message}; what policies allow depends on the pods, namespaces and \
         NetworkPolicies of the whole cluster: ask for the right to list them, or for a snapshot to give with --cluster"
    )]
    ForbiddenCluster { what: String, message: String },
    #[error(
        "failed to {what}: this cluster does not have nanoseg's custom resources; install them with: nanoseg crd | kubectl apply --server-side -f -"
    )]
    NoResources { what: String },
    #[error("failed to {what}: {message}")]
    Refused { what: String, message: String },
    #[error(
        "failed to {what}: no answer from the API server; is the kubeconfig's server right and reachable?"
    )]
    NoAnswer {
        what: String,
        source: Box<kube::Error>,
    },
}

impl ApiError {
    /// Classifies an error of the client. `what` is what was tried.
    pub fn new(error: kube::Error, what: impl Into<String>) -> ApiError {
        let what = what.into();
        let kube::Error::Api(status) = error else {
            let source = Box::new(error);
            return ApiError::NoAnswer { what, source };
        };
        let (code, message) = (status.code, status.message.clone());
        match code {
            401 => ApiError::Unauthenticated { what, message },
            403 => ApiError::Forbidden { what, message },
            // The path itself is unknown: there is no such resource.
            404 if message.starts_with("404 page not found") => ApiError::NoResources { what },
            _ => ApiError::Refused { what, message },
        }
    }
}
