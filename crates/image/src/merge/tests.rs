//! The merge against a naive model: a map from path to what is there, changed one step at a time.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::entry::Time;

/// What a path is in the model: a number that says which entry made it, and whether it is a directory. Names of
/// one inode have one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Thing {
    maker: u32,
    is_directory: bool,
}

/// The maker of directories that nobody described.
const NOBODY: u32 = 0;

type Model = BTreeMap<String, Thing>;

fn below(path: &str, candidate: &str) -> bool {
    path.is_empty() && !candidate.is_empty()
        || candidate
            .strip_prefix(path)
            .is_some_and(|rest| rest.starts_with('/'))
}

fn remove(model: &mut Model, path: &str) {
    model.retain(|candidate, _| candidate != path && !below(path, candidate));
}

fn make_parents(model: &mut Model, path: &str) {
    for (slash, _) in path.match_indices('/') {
        let parent = &path[..slash];
        if !model.get(parent).is_some_and(|thing| thing.is_directory) {
            remove(model, parent);
            model.insert(
                parent.to_owned(),
                Thing {
                    maker: NOBODY,
                    is_directory: true,
                },
            );
        }
    }
}

/// An entry in the model's words.
#[derive(Debug, Clone)]
enum Step {
    Put { path: String, is_directory: bool },
    Link { path: String, target: String },
    Whiteout { path: String },
    Opaque { path: String },
}

/// Applies a layer; `None` if it has a link to nothing.
fn apply(model: &mut Model, steps: &[Step], maker: &mut u32) -> Option<()> {
    for step in steps {
        match step {
            Step::Whiteout { path } => remove(model, path),
            Step::Opaque { path } if model.get(path).is_none_or(|thing| thing.is_directory) => {
                model.retain(|candidate, _| !below(path, candidate));
            }
            Step::Opaque { .. } | Step::Put { .. } | Step::Link { .. } => {}
        }
    }
    for step in steps {
        *maker += 1;
        match step {
            Step::Put { path, is_directory } => {
                make_parents(model, path);
                if !(*is_directory && model.get(path).is_some_and(|thing| thing.is_directory)) {
                    remove(model, path);
                }
                model.insert(
                    path.clone(),
                    Thing {
                        maker: *maker,
                        is_directory: *is_directory,
                    },
                );
            }
            Step::Link { path, target } => {
                let thing = *model.get(target).filter(|thing| !thing.is_directory)?;
                make_parents(model, path);
                remove(model, path);
                model.insert(path.clone(), thing);
            }
            Step::Whiteout { .. } | Step::Opaque { .. } => {}
        }
    }
    Some(())
}

fn entry(step: &Step, maker: u32) -> Entry {
    let attrs = Attrs {
        mtime: Time {
            seconds: i64::from(maker),
            nanos: 0,
        },
        ..Attrs::implied()
    };
    let (path, change) = match step {
        Step::Put {
            path,
            is_directory: true,
        } => (
            path,
            Change::Node {
                attrs,
                kind: Kind::Directory,
            },
        ),
        Step::Put {
            path,
            is_directory: false,
        } => (
            path,
            Change::Node {
                attrs,
                kind: Kind::Fifo,
            },
        ),
        Step::Link { path, target } => (
            path,
            Change::Link {
                target: target.as_bytes().into(),
            },
        ),
        Step::Whiteout { path } => (path, Change::Whiteout),
        Step::Opaque { path } => (path, Change::Opaque),
    };
    Entry {
        path: path.as_bytes().into(),
        change,
    }
}

/// The merged tree in the model's form.
fn flatten(tree: &Tree) -> Model {
    let mut model = Model::new();
    let mut waiting = vec![(String::new(), ROOT)];
    while let Some((path, id)) = waiting.pop() {
        let node = tree.node(id);
        let maker = u32::try_from(node.attrs.mtime.seconds).expect("a maker");
        let is_directory = matches!(node.content, Content::Directory(_));
        if let Content::Directory(children) = &node.content {
            for (name, &child) in children {
                let name = String::from_utf8_lossy(name);
                let path = if path.is_empty() {
                    name.into_owned()
                } else {
                    format!("{path}/{name}")
                };
                waiting.push((path, child));
            }
        }
        if !path.is_empty() {
            model.insert(path, Thing { maker, is_directory });
        }
    }
    model
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..4).prop_map(|names| names.join("/"))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (path(), any::<bool>()).prop_map(|(path, is_directory)| Step::Put { path, is_directory }),
        1 => (path(), path()).prop_map(|(path, target)| Step::Link { path, target }),
        1 => path().prop_map(|path| Step::Whiteout { path }),
        1 => path().prop_map(|path| Step::Opaque { path }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_merge_does_what_the_model_does(layers in prop::collection::vec(prop::collection::vec(step(), 0..12), 1..5)) {
        let mut model = Model::new();
        let (mut maker, mut number) = (0, 0);
        let fits = layers.iter().try_for_each(|layer| apply(&mut model, layer, &mut maker)).is_some();
        let merged = merge(layers.iter().map(|layer| {
            layer.iter().map(|step| { number += 1; entry(step, number) }).collect::<Vec<_>>()
        }).collect::<Vec<_>>());
        match merged {
            Ok(tree) => {
                prop_assert!(fits);
                prop_assert_eq!(flatten(&tree), model);
            }
            Err(error) => prop_assert!(!fits, "{}", error),
        }
    }

    /// Where whiteouts stand in their layer does not matter.
    #[test]
    fn whiteouts_may_stand_anywhere(low in prop::collection::vec(step(), 0..12), high in prop::collection::vec(step(), 0..12)) {
        let is_mark = |step: &&Step| matches!(step, Step::Whiteout { .. } | Step::Opaque { .. });
        let marks_first = high.iter().filter(is_mark).chain(high.iter().filter(|step| !is_mark(step)));
        let marks_last = high.iter().filter(|step| !is_mark(step)).chain(high.iter().filter(is_mark));
        let low: Vec<_> = low.iter().map(|step| entry(step, 1)).collect();
        let first = merge([low.clone(), marks_first.map(|step| entry(step, 2)).collect()]);
        let last = merge([low, marks_last.map(|step| entry(step, 2)).collect()]);
        prop_assert_eq!(first.map(|tree| flatten(&tree)), last.map(|tree| flatten(&tree)));
    }
}

#[test]
fn a_link_to_its_own_name_changes_nothing() {
    let file = Step::Put {
        path: "a".into(),
        is_directory: false,
    };
    let link = Step::Link {
        path: "a".into(),
        target: "a".into(),
    };
    let tree = merge([vec![entry(&file, 1), entry(&link, 2)]]).expect("a tree");
    assert_eq!(
        flatten(&tree).get("a"),
        Some(&Thing {
            maker: 1,
            is_directory: false
        })
    );
}
