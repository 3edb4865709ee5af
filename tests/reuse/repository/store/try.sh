export ETCDCTL_ENDPOINTS=https://192.168.60.11:2379,https://192.168.60.12:2379,https://192.168.60.13:2379
export ETCDCTL_CACERT=/etc/shop/etcd-ca.crt ETCDCTL_CERT=/etc/shop/etcd.crt ETCDCTL_KEY=/etc/shop/etcd.key
/opt/hardway/etcd/3.6.14/etcdctl put greeting hello
/opt/hardway/etcd/3.6.14/etcdctl get greeting
