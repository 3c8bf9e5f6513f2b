//! Lists of an API server, page by page.

use crate::cluster::live::connect::describe;
use kube::Api;
use kube::api::ListParams;
use kube::core::{DynamicObject, ObjectList};
use std::time::Duration;

/// Objects per page: an API server holds a whole page in memory.
const PAGE: u32 = 500;
/// How often a request is repeated while the API server is overloaded, and after which time.
const TRIES: usize = 10;
const PAUSE: Duration = Duration::from_millis(500);
/// How often a list begins again because its pages became too old. Then it is read in one piece.
const RESTARTS: usize = 2;

/// Why a kind could not be listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListError {
    /// The user may not, in the API server's words.
    Forbidden(String),
    /// The API server does not have the kind.
    Unknown,
    /// Anything else.
    Failed(String),
}

impl ListError {
    pub fn new(error: &kube::Error) -> ListError {
        match error {
            kube::Error::Api(status) if status.code == 403 => {
                ListError::Forbidden(status.message.clone())
            }
            kube::Error::Api(status) if status.code == 404 => ListError::Unknown,
            other => ListError::Failed(describe(other)),
        }
    }
}

/// Passes each object to `take`, and returns the version of the list. With `metadata`, only the objects' metadata is
/// read.
///
/// # Errors
/// As of the API server; `take` may have got a part of the objects, and gets them again after a restart: `begin` is
/// called before the first page of each attempt.
pub async fn list<T>(
    api: &Api<DynamicObject>,
    metadata: bool,
    state: &mut T,
    begin: impl Fn(&mut T),
    mut take: impl FnMut(&mut T, DynamicObject) -> Result<(), String>,
) -> Result<String, ListError> {
    let mut restarts = 0;
    'list: loop {
        begin(state);
        let mut params = ListParams::default();
        if restarts <= RESTARTS {
            params = params.limit(PAGE);
        }
        loop {
            let page = match list_page(api, metadata, &params).await {
                // The pages are of a version that the API server no longer has.
                Err(kube::Error::Api(status)) if status.code == 410 && restarts <= RESTARTS => {
                    restarts += 1;
                    continue 'list;
                }
                other => other.map_err(|error| ListError::new(&error))?,
            };
            for object in page.items {
                take(state, object).map_err(ListError::Failed)?;
            }
            let version = page.metadata.resource_version.unwrap_or_default();
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(version),
            }
        }
    }
}

/// One page of a list; with `metadata`, only the objects' metadata. A request is repeated while the API server is
/// overloaded or has just learned of a resource (429).
///
/// # Errors
/// As of the API server.
pub async fn list_page(
    api: &Api<DynamicObject>,
    metadata: bool,
    params: &ListParams,
) -> kube::Result<ObjectList<DynamicObject>> {
    let mut tries = 0;
    loop {
        let page = if metadata {
            metadata_page(api, params).await
        } else {
            api.list(params).await
        };
        match page {
            Err(kube::Error::Api(status)) if status.code == 429 && tries < TRIES => {
                tries += 1;
                tokio::time::sleep(PAUSE).await;
            }
            page => return page,
        }
    }
}

async fn metadata_page(
    api: &Api<DynamicObject>,
    params: &ListParams,
) -> kube::Result<ObjectList<DynamicObject>> {
    let page = api.list_metadata(params).await?;
    let items = page.items.into_iter().map(|one| DynamicObject {
        types: None,
        metadata: one.metadata,
        data: serde_json::Value::Null,
    });
    Ok(ObjectList {
        types: page.types,
        metadata: page.metadata,
        items: items.collect(),
    })
}
