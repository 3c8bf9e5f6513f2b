//! The generated code of message schemas is committed, so that a build needs no protobuf compiler. This test compares it
//! with the code generated from proto/. `NANOSEG_UPDATE=1 cargo test protocol` writes it again.

use std::fs;
use std::path::Path;

/// A schema and the path of its Rust code.
struct Schema {
    /// The folder that imports are relative to.
    folder: &'static str,
    /// Relative to the folder.
    proto: &'static str,
    /// The file name that prost derives from the package.
    package: &'static str,
    generated: &'static str,
    /// Is true if tonic's client of its services is generated.
    client: bool,
}

const SCHEMAS: &[Schema] = &[
    Schema {
        folder: "proto",
        proto: "nanoseg/flows/v1/flows.proto",
        package: "nanoseg.flows.v1.rs",
        generated: "crates/wire/src/generated.rs",
        // crates/wire/src/grpc has its own: batches are sent as the bytes that the spool holds.
        client: false,
    },
    Schema {
        folder: "proto/hubble",
        proto: "flow/flow.proto",
        package: "flow.rs",
        generated: "crates/observe/src/hubble/generated/flow.rs",
        client: false,
    },
    Schema {
        folder: "proto/hubble",
        proto: "relay/relay.proto",
        package: "relay.rs",
        generated: "crates/observe/src/hubble/generated/relay.rs",
        client: false,
    },
    Schema {
        folder: "proto/hubble",
        proto: "observer/observer.proto",
        package: "observer.rs",
        generated: "crates/observe/src/hubble/generated/observer.rs",
        client: true,
    },
];

fn generate(schema: &Schema) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = tempfile::tempdir().expect("a folder");
    let files =
        protox::compile([schema.proto], [root.join(schema.folder)]).expect("a valid schema");
    tonic_prost_build::configure()
        .btree_map(".")
        .build_client(schema.client)
        .build_server(false)
        .out_dir(out.path())
        .compile_fds(files)
        .expect("generated code");
    let code = fs::read_to_string(out.path().join(schema.package)).expect("the package's code");
    format!(
        "// Made from {}/{} by `NANOSEG_UPDATE=1 cargo test protocol`. Do not edit.\n{code}",
        schema.folder, schema.proto
    )
}

#[test]
fn the_generated_code_equals_that_of_the_schemas() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for schema in SCHEMAS {
        let expected = generate(schema);
        let path = root.join(schema.generated);
        if std::env::var_os("NANOSEG_UPDATE").is_some() {
            fs::write(&path, &expected).expect("generated code");
        }
        let committed = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == expected,
            "{} is not what {}/{} gives; run `NANOSEG_UPDATE=1 cargo test protocol`",
            schema.generated,
            schema.folder,
            schema.proto
        );
    }
}
