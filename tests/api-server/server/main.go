// A Kubernetes API server for custom resources alone, for tests.
//
// It is the published library k8s.io/apiextensions-apiserver with what a test has no use for left out: no TLS, no
// authentication, no authorization, no admission plugins, and no other API server to lean on. It starts the etcd that
// it stores in, prints its address as its first line, and ends, with etcd and the folder, as soon as its standard input
// is closed: a test that is killed leaves nothing behind.
//
//	gondola-test-api-server ETCD FOLDER
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"go.opentelemetry.io/otel/trace/noop"
	"k8s.io/apiextensions-apiserver/pkg/apiserver"
	"k8s.io/apiextensions-apiserver/pkg/cmd/server/options"
	generatedopenapi "k8s.io/apiextensions-apiserver/pkg/generated/openapi"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	openapinamer "k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/util/openapi"
	"k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// How often etcd is started anew because another program took its port in between.
const etcdAttempts = 5

func main() {
	// etcd dies with the thread that started it (Pdeathsig); this one lives as long as the process.
	runtime.LockOSThread()
	if len(os.Args) != 3 {
		log.Fatal("usage: gondola-test-api-server ETCD FOLDER < (a pipe that is closed at the end)")
	}
	etcd, endpoint, err := startEtcd(os.Args[1], os.Args[2])
	if err != nil {
		log.Fatalf("etcd did not start: %v", err)
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = etcd.Process.Kill()
		_, _ = etcd.Process.Wait()
		_ = os.RemoveAll(os.Args[2])
		os.Exit(0)
	}()
	log.Fatalf("the API server ended: %v", serve(endpoint))
}

// Starts etcd in the folder and waits until it can be reached.
func startEtcd(program, folder string) (*exec.Cmd, string, error) {
	var last error
	for attempt := 0; attempt < etcdAttempts; attempt++ {
		client, peer, err := freePorts()
		if err != nil {
			return nil, "", err
		}
		etcd, err := runEtcd(program, folder, client, peer)
		if err != nil {
			return nil, "", err
		}
		if last = waitForPort(etcd, client); last == nil {
			return etcd, "http://" + client, nil
		}
	}
	return nil, "", last
}

func runEtcd(program, folder, client, peer string) (*exec.Cmd, error) {
	output, err := os.OpenFile(filepath.Join(folder, "etcd.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer output.Close()
	etcd := exec.Command(program,
		"--data-dir", filepath.Join(folder, "etcd"),
		"--listen-client-urls", "http://"+client, "--advertise-client-urls", "http://"+client,
		"--listen-peer-urls", "http://"+peer, "--initial-advertise-peer-urls", "http://"+peer,
		"--initial-cluster", "default=http://"+peer,
		"--unsafe-no-fsync", "--log-level", "warn")
	etcd.Stdout, etcd.Stderr = output, output
	etcd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return etcd, etcd.Start()
}

// Waits for the port, or for etcd's end. The deadline is for a machine that is busy building.
func waitForPort(etcd *exec.Cmd, address string) error {
	ended := make(chan error, 1)
	go func() { ended <- etcd.Wait() }()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		select {
		case err := <-ended:
			return fmt.Errorf("it ended (see etcd.log): %w", err)
		case <-time.After(20 * time.Millisecond):
		}
		if connection, err := net.Dial("tcp", address); err == nil {
			return connection.Close()
		}
	}
	_ = etcd.Process.Kill()
	return fmt.Errorf("nothing listens on %s (see etcd.log)", address)
}

// Two loopback addresses whose ports are free just now.
func freePorts() (string, string, error) {
	first, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	defer first.Close()
	second, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	defer second.Close()
	return first.Addr().String(), second.Addr().String(), nil
}

// Serves custom resources from etcd until something fails.
func serve(etcd string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	config, err := configure(etcd, listener.Addr().String())
	if err != nil {
		return err
	}
	server, err := config.Complete().New(genericapiserver.NewEmptyDelegate())
	if err != nil {
		return err
	}
	prepared := server.GenericAPIServer.PrepareRun()
	failed := make(chan error, 2)
	go func() { failed <- http.Serve(listener, server.GenericAPIServer.Handler) }()
	go func() { failed <- prepared.RunWithContext(context.Background()) }()
	output := bufio.NewWriter(os.Stdout)
	fmt.Fprintf(output, "http://%s\n", listener.Addr())
	if err := output.Flush(); err != nil {
		return err
	}
	return <-failed
}

// As options.CustomResourceDefinitionsServerOptions.Config, without what needs a cluster around it.
func configure(etcd, address string) (*apiserver.Config, error) {
	o := options.NewCustomResourceDefinitionsServerOptions(os.Stdout, os.Stderr)
	o.RecommendedOptions.Etcd.StorageConfig.Transport.ServerList = []string{etcd}
	if err := o.ServerRunOptions.ComponentGlobalsRegistry.Set(); err != nil {
		return nil, err
	}
	if err := o.Complete(); err != nil {
		return nil, err
	}
	config := genericapiserver.NewRecommendedConfig(apiserver.Codecs)
	if err := o.ServerRunOptions.ApplyTo(&config.Config); err != nil {
		return nil, err
	}
	if err := o.RecommendedOptions.Etcd.ApplyTo(&config.Config); err != nil {
		return nil, err
	}
	if err := o.APIEnablement.ApplyTo(&config.Config, apiserver.DefaultAPIResourceConfigSource(), apiserver.Scheme); err != nil {
		return nil, err
	}
	config.ExternalAddress = address
	config.LoopbackClientConfig = &rest.Config{Host: "http://" + address, QPS: 1000, Burst: 1000}
	config.Authentication.Authenticator = genericapiserver.InsecureSuperuser{}
	config.Authorization.Authorizer = authorizerfactory.NewAlwaysAllowAuthorizer()
	definitions := openapi.GetOpenAPIDefinitionsWithoutDisabledFeatures(generatedopenapi.GetOpenAPIDefinitions)
	namer := openapinamer.NewDefinitionNamer(apiserver.Scheme, scheme.Scheme)
	config.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(definitions, namer)
	return &apiserver.Config{
		GenericConfig: config,
		ExtraConfig: apiserver.ExtraConfig{
			CRDRESTOptionsGetter: options.NewCRDRESTOptionsGetter(
				*o.RecommendedOptions.Etcd, config.ResourceTransformers, config.StorageObjectCountTracker),
			AuthResolverWrapper: webhook.NewDefaultAuthenticationInfoResolverWrapper(
				nil, nil, config.LoopbackClientConfig, noop.NewTracerProvider()),
		},
	}, nil
}
