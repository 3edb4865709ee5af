ctr --namespace k8s.io run --rm registry.k8s.io/e2e-test-images/agnhost:2.63.0 hello /agnhost --version
