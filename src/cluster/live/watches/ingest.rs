//! The only code of a watch that is compiled once for each kind: it converts a dynamic object to the kind's own
//! type and puts it into the cache. Lists, watches and pauses (`follow`) use dynamic objects only.

use super::cache::Cache;
use super::kinds::{INVENTORY, Kind, Watched};
use super::malformed::Malformed;
use super::salvage::{WrongField, salvage};
use crate::cluster::field_path::FieldPath;
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
    let metadata = object.metadata.clone();
    let (mut known, wrong) = typed_parts::<K>(object);
    let malformed = wrong.map(|wrong| Malformed {
        kind: K::KIND,
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone().unwrap_or_default(),
        uid: metadata.uid.clone(),
        is_ours: is_ours(&metadata),
        field: wrong.path.to_string(),
        problem: wrong.problem,
    });
    // Half of a policy is another policy, and half of a decision another decision.
    let is_whole = !INVENTORY.contains(&K::KIND) || K::KIND == Kind::NetworkPolicy;
    if is_whole && malformed.is_some() {
        known = None;
    }
    if let Some(known) = &mut known {
        known.trim();
    }
    (known, malformed)
}

/// Returns the object in the kind's own type, as far as it can be read, and what is wrong with it.
pub fn typed_parts<K>(object: DynamicObject) -> (Option<K>, Option<WrongField>)
where
    K: Resource<DynamicType = ()> + FromJson,
{
    let DynamicObject { metadata, data, .. } = object;
    let fields = fields(data);
    let read = |fields: Value| K::from_json(Json::Value(fields));
    let (known, wrong) = match read(fields.clone()) {
        Ok(known) => (Some(known), None),
        Err(error) => {
            let found = salvage(&fields, &|one| {
                read(one.clone()).err().map(|error| error.to_string())
            });
            let (wrong, rest) = found.unwrap_or_else(|| {
                let wrong = WrongField {
                    path: FieldPath::default(),
                    problem: error.to_string(),
                };
                (wrong, None)
            });
            // Its name, labels and owners are known at least.
            let rest = rest.unwrap_or_else(|| fields_of(Map::new()));
            (read(rest).ok(), Some(wrong))
        }
    };
    let known = known.map(|mut known| {
        *known.meta_mut() = metadata;
        known
    });
    (known, wrong)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::live::watches::WatchSettings;
    use crate::inventory::kubernetes::Pod;
    use crate::review::resources::Segmentation;
    use k8s_openapi::api::networking::v1::NetworkPolicy;
    use serde_json::json;

    fn object(name: &str, fields: Value) -> DynamicObject {
        let mut whole = json!({"metadata": {
            "namespace": "shop", "name": name, "uid": name, "labels": {"app": name},
        }});
        whole
            .as_object_mut()
            .expect("an object")
            .extend(fields.as_object().expect("fields").clone());
        serde_json::from_value(whole).expect("an object")
    }

    fn here<K: Resource<DynamicType = ()>>(client: &Client) -> Api<DynamicObject> {
        in_default::<K>(client)
    }

    fn names<K: Watched>(cache: &Cache) -> Vec<String> {
        let store = K::store(&cache.stores).all();
        store
            .iter()
            .filter_map(|one| one.meta().name.clone())
            .collect()
    }

    /// Lists a good and a malformed object, and then watches the same and their end.
    fn list_and_watch<K: Watched>(good: Value, bad: Value, is_kept: bool) {
        let cache = Cache::new(&WatchSettings::default());
        let ingest = Ingest::of::<K>(here::<K>);
        let mut list = (ingest.list)();
        list.add(vec![
            object("bad", bad.clone()),
            object("good", good.clone()),
        ]);
        list.finish(&cache);
        let known = if is_kept {
            vec!["bad", "good"]
        } else {
            vec!["good"]
        };
        assert_eq!(names::<K>(&cache), known);
        let malformed = cache.malformed();
        assert_eq!(malformed.len(), 1, "{malformed:?}");
        assert_eq!(malformed[0].subject(), format!("{} shop/bad", K::KIND));
        assert!(malformed[0].field.starts_with("spec"), "{malformed:?}");

        // What was known of an object before still counts when it becomes malformed.
        (ingest.put)(&cache, object("good", bad));
        assert_eq!(cache.malformed_counts()[&K::KIND], 2);
        assert!(names::<K>(&cache).contains(&"good".to_owned()));
        (ingest.put)(&cache, object("good", good));
        (ingest.remove)(&cache, object("bad", json!({"spec": 5})));
        assert_eq!(cache.malformed(), []);
        assert_eq!(names::<K>(&cache), ["good"]);
    }

    #[test]
    fn a_malformed_object_of_any_kind_stops_nothing_else() {
        let pod = json!({"spec": {"nodeName": "n1", "containers": []}});
        let odd = json!({"spec": {"nodeName": "n1", "containers": 5}});
        list_and_watch::<Pod>(pod, odd, true);
        let policy = json!({"spec": {"podSelector": {}, "policyTypes": ["Ingress"]}});
        let odd = json!({"spec": {"podSelector": {}, "policyTypes": "Ingress"}});
        list_and_watch::<NetworkPolicy>(policy, odd, false);
        let segmentation = json!({"spec": {"mode": "Enforce"}});
        let odd = json!({"spec": {"mode": 5}});
        list_and_watch::<Segmentation>(segmentation, odd, false);
    }

    #[test]
    fn a_malformed_pod_keeps_its_labels_and_its_address() {
        let odd = json!({
            "spec": {"hostNetwork": "no", "nodeName": "n1", "containers": []},
            "status": {"podIP": "10.0.0.7"},
        });
        let (pod, malformed) = read::<Pod>(object("web", odd));
        let pod = pod.expect("a pod");
        let address = pod.status.and_then(|status| status.pod_ip);
        assert_eq!(address.as_deref(), Some("10.0.0.7"));
        assert_eq!(pod.metadata.labels.expect("labels")["app"], "web");
        let malformed = malformed.expect("it is malformed");
        assert_eq!(malformed.field, "spec.hostNetwork");
    }
}
