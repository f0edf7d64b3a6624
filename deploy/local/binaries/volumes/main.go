// Command volumes provisions PersistentVolumes as directories of its node, which it makes itself. The usual local
// provisioners start a helper Pod per volume, which costs an image and seconds; here the provisioner runs on the node,
// one on each: a claim is its own where the scheduler chose its node, a volume where it made it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

const provisionerName = "middleware.local/volumes"

// directories is the provisioner. Sizes are recorded in the volume and not enforced.
type directories struct {
	root string
	node string
}

// What the scheduler writes on a claim once it has chosen the node of the first Pod (WaitForFirstConsumer).
const selectedNode = "volume.kubernetes.io/selected-node"

// ShouldProvision leaves the claims of other nodes to the provisioners there.
func (d directories) ShouldProvision(_ context.Context, claim *core.PersistentVolumeClaim) bool {
	return claim.Annotations[selectedNode] == d.node
}

// ShouldDelete leaves the volumes of other nodes to the provisioners there: while a node is down, its data stays.
func (d directories) ShouldDelete(_ context.Context, volume *core.PersistentVolume) bool {
	return volume.Spec.Local != nil && filepath.Dir(volume.Spec.Local.Path) == d.root
}

// Provision makes the directory `<root>/<volume>_<namespace>_<claim>`: a person finds the data of a claim by its name.
// Repeating it is harmless, because the volume's name derives from the claim's uid.
func (d directories) Provision(
	_ context.Context, options controller.ProvisionOptions,
) (*core.PersistentVolume, controller.ProvisioningState, error) {
	claim := options.PVC
	if claim.Spec.Selector != nil {
		return nil, controller.ProvisioningFinished, errors.New("a claim with a selector cannot be provisioned")
	}
	path := filepath.Join(d.root, options.PVName+"_"+claim.Namespace+"_"+claim.Name)
	if err := os.MkdirAll(path, 0o777); err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	// Any user of any container may write, as in other local provisioners; the directories above are root's alone.
	if err := os.Chmod(path, 0o777); err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	mode := core.PersistentVolumeFilesystem
	volume := &core.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{Name: options.PVName},
		Spec: core.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: *options.StorageClass.ReclaimPolicy,
			AccessModes:                   claim.Spec.AccessModes,
			VolumeMode:                    &mode,
			Capacity: core.ResourceList{
				core.ResourceStorage: claim.Spec.Resources.Requests[core.ResourceStorage],
			},
			// Not hostPath: only for a local volume does the kubelet apply the Pod's fsGroup.
			PersistentVolumeSource: core.PersistentVolumeSource{Local: &core.LocalVolumeSource{Path: path}},
			NodeAffinity: &core.VolumeNodeAffinity{Required: &core.NodeSelector{
				NodeSelectorTerms: []core.NodeSelectorTerm{{MatchExpressions: []core.NodeSelectorRequirement{{
					Key: core.LabelHostname, Operator: core.NodeSelectorOpIn, Values: []string{d.node},
				}}}},
			}},
		},
	}
	return volume, controller.ProvisioningFinished, nil
}

// Delete removes the volume's directory, and refuses any path that is not directly below the root.
func (d directories) Delete(_ context.Context, volume *core.PersistentVolume) error {
	if volume.Spec.Local == nil || filepath.Dir(volume.Spec.Local.Path) != d.root {
		return fmt.Errorf("volume %s is not a directory in %s", volume.Name, d.root)
	}
	return os.RemoveAll(volume.Spec.Local.Path)
}

func serveHealth(address string) {
	server := &http.Server{Addr: address, ReadHeaderTimeout: 5 * time.Second}
	http.HandleFunc("/healthz", func(writer http.ResponseWriter, _ *http.Request) { fmt.Fprintln(writer, "ok") })
	log.Fatal(server.ListenAndServe())
}

func main() {
	kubeconfig := flag.String("kubeconfig", "", "file to reach the API server with")
	root := flag.String("directory", "", "directory that holds the volumes")
	node := flag.String("node", "", "value of the node's label kubernetes.io/hostname")
	health := flag.String("health-address", "127.0.0.1:8095", "address of /healthz")
	flag.Parse()
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		log.Fatal(err)
	}
	config.QPS, config.Burst = 100, 200
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	go serveHealth(*health)
	controller.NewProvisionController(
		ctx,
		kubernetes.NewForConfigOrDie(config),
		provisionerName,
		directories{root: filepath.Clean(*root), node: *node},
		controller.LeaderElection(false), // each node has one, for itself alone
		controller.MetricsPort(0),
	).Run(ctx)
}
