//! Prints the custom resource definition: `generate-crds > crds/recommenderpipelines.yaml`.

fn main() {
    print!("{}", gondola_crds::crd_yaml());
}
