//! The only code of a watch that is compiled once for each kind: it converts a dynamic object to the kind's own
//! type and puts it into the cache. Lists, watches and pauses (`follow`) use dynamic objects only.

use super::cache::Cache;
use super::kinds::{INVENTORY, Kind, Watched};
use super::malformed::Malformed;
use super::salvage::salvage;
use crate::inventory::is_ours;
use crate::inventory::kubernetes::{FromJson, Json};
use kube::api::DynamicObject;
use kube::{Api, Client, Resource};
use serde_json::{Map, Value};

/// One kind, for `follow`.
#[derive(Clone, Copy)]
pub struct Ingest {
    pub kind: Kind,
    /// All objects of the kind.
    pub api: fn(&Client) -> Api<DynamicObject>,
    /// The place to read one name from: one namespace, so that the API server reads one key instead of all.
    pub probe: fn(&Client) -> Api<DynamicObject>,
    /// Begins a list.
    pub list: fn() -> Box<dyn Listing>,
    /// Records an object, new or changed.
    pub put: fn(&Cache, DynamicObject),
    /// Records that an object is gone.
    pub remove: fn(&Cache, DynamicObject),
}

/// The objects of a list, page by page: unused fields of a page are dropped before the next page is read.
pub trait Listing: Send {
    fn add(&mut self, page: Vec<DynamicObject>);

    /// Replaces the content of the cache by the list.
    fn finish(self: Box<Self>, cache: &Cache);
}

struct ListOf<K> {
    objects: Vec<K>,
    malformed: Vec<Malformed>,
}

impl<K: Watched> Listing for ListOf<K> {
    fn add(&mut self, page: Vec<DynamicObject>) {
        for object in page {
            let (known, malformed) = read(object);
            self.objects.extend(known);
            self.malformed.extend(malformed);
        }
    }

    fn finish(self: Box<Self>, cache: &Cache) {
        cache.replace(self.objects, self.malformed);
    }
}

impl Ingest {
    pub fn of<K: Watched>(probe: fn(&Client) -> Api<DynamicObject>) -> Ingest {
        Ingest {
            kind: K::KIND,
            api: everywhere::<K>,
            probe,
            list: || {
                Box::new(ListOf::<K> {
                    objects: Vec::new(),
                    malformed: Vec::new(),
                })
            },
            put: |cache, object| {
                let (known, malformed) = read::<K>(object);
                cache.put(known, malformed);
            },
            remove: |cache, object| match read::<K>(object) {
                (Some(last), _) => cache.remove(&super::store::key(&last), Some(last)),
                (None, Some(malformed)) => {
                    cache.remove::<K>(&(malformed.namespace, malformed.name), None);
                }
                (None, None) => {}
            },
        }
    }
}

pub fn everywhere<K: Resource<DynamicType = ()>>(client: &Client) -> Api<DynamicObject> {
    Api::all_with(client.clone(), &kube::core::ApiResource::erase::<K>(&()))
}

pub fn in_default<K: Resource<DynamicType = ()>>(client: &Client) -> Api<DynamicObject> {
    let resource = kube::core::ApiResource::erase::<K>(&());
    Api::namespaced_with(client.clone(), "default", &resource)
}

/// Returns the trimmed object in the kind's own type, or what is wrong with it (rule: malformed-object-is-a-finding).
/// Of a kind that only tells who is there both may be returned: what of it can be read, at least its name, labels and
/// owners.
fn read<K: Watched>(object: DynamicObject) -> (Option<K>, Option<Malformed>) {
    let DynamicObject { metadata, data, .. } = object;
    let fields = fields(data);
    match K::from_json(Json::Value(fields.clone())) {
        Ok(mut read) => {
            *read.meta_mut() = metadata;
            read.trim();
            (Some(read), None)
        }
        Err(error) => {
            let (rest, malformed) = describe(K::KIND, &metadata, &fields, error.to_string(), &|one| {
                let read = K::from_json(Json::Value(one.clone()));
                read.err().map(|error| error.to_string())
            });
            let rest = rest.and_then(|rest| K::from_json(Json::Value(rest)).ok());
            let rest = rest.map(|mut read| {
                *read.meta_mut() = metadata;
                read.trim();
                read
            });
            (rest, Some(malformed))
        }
    }
}

/// What of a malformed object can be read, and what is wrong with it.
fn describe(
    kind: Kind,
    metadata: &kube::core::ObjectMeta,
    fields: &Value,
    problem: String,
    wrong: super::salvage::Try<'_>,
) -> (Option<Value>, Malformed) {
    let (field, problem, rest) = match salvage(fields, wrong) {
        Some((field, rest)) => (field.path.to_string(), field.problem, rest),
        None => (String::new(), problem, None),
    };
    let bare = || Some(fields_of(Map::new()));
    let rest = match kind {
        // Half of a policy is another policy, and half of a decision another decision.
        Kind::NetworkPolicy
        | Kind::Segmentation
        | Kind::PolicyProposal
        | Kind::ProposalDecision => None,
        _ if INVENTORY.contains(&kind) => rest.or_else(bare),
        _ => None,
    };
    let malformed = Malformed {
        kind,
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone().unwrap_or_default(),
        uid: metadata.uid.clone(),
        is_ours: is_ours(metadata),
        field,
        problem,
    };
    (rest, malformed)
}

fn fields(data: Value) -> Value {
    fields_of(match data {
        Value::Object(fields) => fields,
        _ => Map::new(),
    })
}

/// Custom resources require `metadata`; the real one already has its type, and replaces this one.
fn fields_of(mut fields: Map<String, Value>) -> Value {
    fields.insert("metadata".to_owned(), Value::Object(Map::new()));
    Value::Object(fields)
}

/// Returns the object in the kind's own type.
///
/// # Errors
/// A field of it has the wrong type.
pub fn typed<K>(object: DynamicObject) -> Result<K, serde_json::Error>
where
    K: Resource<DynamicType = ()> + FromJson,
{
    let DynamicObject { metadata, data, .. } = object;
    let mut object = K::from_json(Json::Value(fields(data)))?;
    *object.meta_mut() = metadata;
    Ok(object)
}
