use super::*;

fn files(names: &[&str]) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files: BTreeMap<PathBuf, Vec<u8>> = names
        .iter()
        .map(|name| {
            (
                PathBuf::from(name),
                b"labels:\n  app.kubernetes.io/managed-by: nanoseg\n".to_vec(),
            )
        })
        .collect();
    let list: String = names.iter().map(|name| format!("  - {name}\n")).collect();
    let text = format!("# Written by {MARK}\nresources:\n{list}");
    files.insert(KUSTOMIZATION.into(), text.into_bytes());
    files
}

fn listing(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                path => found.push(path.strip_prefix(root).unwrap().display().to_string()),
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_second_run_replaces_its_own_files_and_removes_those_of_gone_workloads() {
    let dir = tempfile::tempdir().unwrap();
    let out = OutputFolder::new(dir.path().join("out"));
    out.replace(&files(&["shop/web.yaml", "shop/old.yaml", "dead/x.yaml"]))
        .unwrap();
    let summary = out.replace(&files(&["shop/web.yaml"])).unwrap();
    assert_eq!(
        summary.removed,
        [PathBuf::from("dead/x.yaml"), PathBuf::from("shop/old.yaml")]
    );
    assert_eq!(summary.unchanged, 1);
    assert_eq!(
        listing(&dir.path().join("out")),
        ["kustomization.yaml", "shop/web.yaml"]
    );
    assert!(!dir.path().join("out/dead").exists());
}

#[test]
fn a_strangers_file_is_neither_overwritten_nor_removed() {
    let dir = tempfile::tempdir().unwrap();
    let out = OutputFolder::new(dir.path());
    fs::create_dir(dir.path().join("shop")).unwrap();
    fs::write(dir.path().join("shop/web.yaml"), "mine").unwrap();
    fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    let refused = out.replace(&files(&["shop/web.yaml"])).unwrap_err();
    assert!(matches!(refused, FolderError::Stranger { .. }), "{refused}");
    assert_eq!(
        listing(dir.path()),
        ["notes.txt", "shop/web.yaml"],
        "nothing half-written"
    );
    out.replace(&files(&["shop/app.yaml"])).unwrap();
    out.replace(&files(&[])).unwrap();
    assert_eq!(
        listing(dir.path()),
        ["kustomization.yaml", "notes.txt", "shop/web.yaml"]
    );
}

#[test]
fn a_foreign_kustomization_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(KUSTOMIZATION), "resources: [a.yaml]\n").unwrap();
    let refused = OutputFolder::new(dir.path())
        .replace(&files(&["a/b.yaml"]))
        .unwrap_err();
    assert!(
        refused.to_string().contains("nanoseg did not write it"),
        "{refused}"
    );
}

#[test]
fn names_cannot_leave_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["../x.yaml", "/etc/x.yaml", "a/../../x.yaml"] {
        let refused = OutputFolder::new(dir.path())
            .replace(&files(&[name]))
            .unwrap_err();
        assert!(
            matches!(refused, FolderError::BadName { .. }),
            "{name}: {refused}"
        );
    }
}

#[test]
fn no_link_in_the_folder_is_followed() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    let outside = dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let label = "labels:\n  app.kubernetes.io/managed-by: nanoseg\n";
    fs::write(outside.join("web.yaml"), label).unwrap();
    let unharmed = || {
        assert_eq!(listing(&outside), ["web.yaml"]);
        assert_eq!(fs::read_to_string(outside.join("web.yaml")).unwrap(), label);
    };

    // A folder of ours was exchanged for a link to a folder, or for one that leads nowhere, or to a file.
    for target in [
        outside.clone(),
        dir.path().join("nowhere"),
        outside.join("web.yaml"),
    ] {
        let root = dir.path().join("out");
        let out = OutputFolder::new(&root);
        out.replace(&files(&["shop/web.yaml", "shop/old.yaml"]))
            .unwrap();
        fs::remove_dir_all(root.join("shop")).unwrap();
        symlink(&target, root.join("shop")).unwrap();
        let refused = out.replace(&files(&["shop/web.yaml", "shop/new.yaml"]));
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("shop/"), "{refused}");
        unharmed();
        // Where nothing of the namespace is wanted any more, nothing behind the link is removed.
        out.replace(&files(&["till/app.yaml"])).unwrap();
        unharmed();
        assert!(root.join("shop").is_symlink());
        fs::remove_dir_all(&root).unwrap();
    }

    // A file of ours was exchanged for a link: it is somebody else's, and stays as it is.
    for target in ["/etc/hostname", "outside/web.yaml", "nowhere"] {
        let root = dir.path().join("out");
        let out = OutputFolder::new(&root);
        out.replace(&files(&["shop/web.yaml"])).unwrap();
        let target = dir.path().join(target);
        for name in ["shop/web.yaml", KUSTOMIZATION] {
            fs::remove_file(root.join(name)).unwrap();
            symlink(&target, root.join(name)).unwrap();
            let refused = out.replace(&files(&["shop/web.yaml"])).unwrap_err();
            assert!(matches!(refused, FolderError::Stranger { .. }), "{refused}");
            assert_eq!(fs::read_link(root.join(name)).unwrap(), target);
            unharmed();
            fs::remove_file(root.join(name)).unwrap();
            fs::remove_dir_all(&root).unwrap();
            out.replace(&files(&["shop/web.yaml"])).unwrap();
        }
        fs::remove_dir_all(&root).unwrap();
    }
}

#[test]
fn a_link_with_the_name_of_a_left_over_folder_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (root, outside) = (dir.path().join("out"), dir.path().join("outside"));
    fs::create_dir_all(&outside).unwrap();
    for name in ["0", "list"] {
        fs::write(outside.join(name), "shop/web.yaml\n").unwrap();
    }
    let out = OutputFolder::new(&root);
    out.replace(&files(&["shop/web.yaml"])).unwrap();
    for name in [".nanoseg-writing-0", ".nanoseg-AbCd12"] {
        std::os::unix::fs::symlink(&outside, root.join(name)).unwrap();
    }
    out.replace(&files(&["shop/app.yaml"])).unwrap();
    assert_eq!(listing(&outside), ["0", "list"]);
}

#[test]
fn left_over_folders_of_killed_runs_go_and_what_somebody_put_there_stays() {
    let dir = tempfile::tempdir().unwrap();
    let out = OutputFolder::new(dir.path());
    out.replace(&files(&["shop/web.yaml"])).unwrap();
    for name in [".nanoseg-AbCd12", ".nanoseg-writing-7", ".nanoseg-of-olga"] {
        fs::create_dir(dir.path().join(name)).unwrap();
        fs::write(dir.path().join(name).join("0"), "half").unwrap();
    }
    fs::write(dir.path().join(".nanoseg-writing-7/notes"), "mine").unwrap();
    out.replace(&files(&["shop/web.yaml"])).unwrap();
    assert_eq!(
        listing(dir.path()),
        [
            ".nanoseg-of-olga/0",
            ".nanoseg-writing-7/notes",
            "kustomization.yaml",
            "shop/web.yaml"
        ]
    );
}

#[test]
fn two_runs_at_once_do_not_write_into_the_same_folder() {
    let dir = tempfile::tempdir().unwrap();
    let other = Place::open(dir.path()).unwrap();
    assert!(other.lock().unwrap());
    let out = OutputFolder::new(dir.path());
    let refused = out.replace(&files(&["shop/web.yaml"])).unwrap_err();
    assert!(matches!(refused, FolderError::Busy { .. }), "{refused}");
    drop(other);
    out.replace(&files(&["shop/web.yaml"])).unwrap();
}
