/*
 * A real Kubernetes with one node on this machine: its own network bridge, containerd, etcd, control plane, kubelet, kube-proxy and DNS.
 * One at a time on a machine. Everything that was started is recorded by its number and ended by it.
 */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheFolder, type Say } from '../../../src/setup/cache.js';
import { pause, run, seconds } from '../../../src/setup/run.js';
import { MACHINE, rememberEnvironment, rememberMachine, stopNode, whoIsThere } from './down.js';
import { findImages, PAUSE_IMAGE } from './images.js';
import { homeOfNode, lastWords, nodeStands, start, until } from './processes.js';
import { findPrograms, type Programs } from './programs.js';

export interface RunningNode {
  kubeconfig: string;
  /** Folder of kubectl and helm. */
  bin: string;
}

const NODE = 'node1';
/** On a bridge of its own, so that nothing depends on the machine's network. */
const NODE_IP = '10.250.0.1';
const PODS = '10.244.0.0/24';
const GATEWAY = '10.244.0.1/24';
const SERVICES = '10.96.0.0/16';
const API = 'https://127.0.0.1:6443';

/** Idempotent: what runs already is left as it is. Throws one sentence, with the log of whatever did not come up. */
export async function startNode(say: Say, cache: string = cacheFolder()): Promise<RunningNode> {
  const programs = await findPrograms(say, cache);
  const images = await findImages(programs, say, cache);
  const since = Date.now();
  const home = homeOfNode(cache);
  const stood = await nodeStands(cache);
  if (stood.length === 0) {
    // What a killed one left would be half of a cluster.
    await stopNode(say, cache);
    const why = await whoIsThere(home, programs.env);
    if (why !== null) throw new Error(`${why}.`);
  }
  const node = { home, programs, kubeconfig: join(home, 'admin.conf'), bin: programs.bin };
  for (const folder of ['pki', 'log', 'pid', 'etc', 'cni', 'kubelet'])
    await mkdir(join(home, folder), { recursive: true });
  await rememberEnvironment(home, programs.env);
  await rememberMachine(home, programs.env);
  await network(node);
  await certificates(node);
  await containers(node, images);
  await controlPlane(node);
  await agents(node);
  const stands = await nodeStands(cache);
  for (const name of await readdir(join(home, 'pid')))
    if (!stands.includes(name)) throw new Error(`${name} has ended:\n${await lastWords(home, name)}`);
  say(`Kubernetes is up (${seconds(since)})`);
  return { kubeconfig: node.kubeconfig, bin: node.bin };
}

interface Node extends RunningNode {
  home: string;
  programs: Programs;
}

async function network({ home, programs }: Node): Promise<void> {
  for (const [file, value] of [...MACHINE, ['/proc/sys/net/bridge/bridge-nf-call-iptables', '1']] as const)
    await writeFile(file, value).catch(() => undefined);
  const ip = (...args: string[]) => must(programs, 'ip', args);
  if (!(await run('ip', ['link', 'show', 'k8s0'], { env: programs.env })).ok) {
    await ip('link', 'add', 'k8s0', 'type', 'bridge');
    await ip('addr', 'add', `${NODE_IP}/32`, 'dev', 'k8s0');
    // Whose it is.
    await ip('link', 'set', 'k8s0', 'alias', home);
    await ip('link', 'set', 'k8s0', 'up');
    // A machine without a way out has no route for addresses of Services, which kube-proxy translates only after that.
    await ip('route', 'add', SERVICES, 'dev', 'k8s0');
    // The plugin makes it with the first pod, else: in the middle of the tests.
    await ip('link', 'add', 'cni0', 'type', 'bridge');
    await ip('addr', 'add', GATEWAY, 'brd', '+', 'dev', 'cni0');
    await ip('link', 'set', 'cni0', 'up');
  }
  await ip('link', 'set', 'lo', 'up');
  // Docker, where it has run, leaves DROP.
  await must(programs, 'iptables', ['-P', 'FORWARD', 'ACCEPT']);
}

async function certificates({ home, programs }: Node): Promise<void> {
  const pki = join(home, 'pki');
  const openssl = (...args: string[]) => must(programs, 'openssl', args, pki);
  if (!(await readdir(pki)).includes('sa.pub')) {
    const key = (name: string) =>
      openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', `${name}.key`);
    await key('ca');
    await openssl(...'req -x509 -new -key ca.key -subj /CN=cluster -days 3650 -out ca.crt'.split(' '));
    const names = [
      'localhost',
      'kubernetes',
      ...['', '.svc', '.svc.cluster.local'].map((end) => `kubernetes.default${end}`),
    ];
    const of: [name: string, subject: string, alternatives: string][] = [
      [
        'apiserver',
        '/CN=kube-apiserver',
        [...names.map((name) => `DNS:${name}`), 'IP:127.0.0.1', `IP:${NODE_IP}`, 'IP:10.96.0.1'].join(),
      ],
      ['admin', '/O=system:masters/CN=admin', ''],
      ['controllers', '/CN=system:kube-controller-manager', ''],
      ['scheduler', '/CN=system:kube-scheduler', ''],
      ['proxy', '/CN=system:kube-proxy', ''],
      ['kubelet', `/O=system:nodes/CN=system:node:${NODE}`, `DNS:${NODE},IP:${NODE_IP},IP:127.0.0.1`],
    ];
    for (const [name, subject, alternatives] of of) {
      await key(name);
      await openssl('req', '-new', '-key', `${name}.key`, '-subj', subject, '-out', `${name}.csr`);
      await writeFile(
        join(pki, `${name}.ext`),
        `extendedKeyUsage=serverAuth,clientAuth\n${alternatives && `subjectAltName=${alternatives}\n`}`,
      );
      await openssl(
        ...`x509 -req -in ${name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial`.split(' '),
        ...`-days 3650 -extfile ${name}.ext -out ${name}.crt`.split(' '),
      );
    }
    await openssl('genrsa', '-out', 'sa.key', '2048');
    await openssl('rsa', '-in', 'sa.key', '-pubout', '-out', 'sa.pub');
  }
  for (const name of ['admin', 'controllers', 'scheduler', 'proxy', 'kubelet'])
    await writeOnce(
      join(home, `${name}.conf`),
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Config',
        clusters: [{ name: 'c', cluster: { server: API, 'certificate-authority': join(pki, 'ca.crt') } }],
        users: [
          {
            name: 'u',
            user: { 'client-certificate': join(pki, `${name}.crt`), 'client-key': join(pki, `${name}.key`) },
          },
        ],
        contexts: [{ name: 'test', context: { cluster: 'c', user: 'u' } }],
        'current-context': 'test',
      }),
    );
}

async function containers(node: Node, images: readonly string[]): Promise<void> {
  const { home, programs } = node;
  const socket = join(home, 'containerd.sock');
  await writeOnce(
    join(home, 'etc/containerd.toml'),
    `version = 2
root = "${home}/containerd/root"
state = "${home}/containerd/state"
[grpc]
  address = "${socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${PAUSE_IMAGE}"
  disable_apparmor = true
  netns_mounts_under_state_dir = true
  # Without CAP_SYS_RESOURCE runc may not lower a process's score.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${join(programs.root, 'usr/lib/cni')}"
    conf_dir = "${home}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
`,
  );
  await writeOnce(
    join(home, 'cni/10-bridge.conflist'),
    JSON.stringify({
      cniVersion: '1.0.0',
      name: 'k8s',
      plugins: [
        {
          type: 'bridge',
          bridge: 'cni0',
          isGateway: true,
          ipMasq: false,
          hairpinMode: true,
          ipam: {
            type: 'host-local',
            dataDir: join(home, 'cni-ipam'),
            ranges: [[{ subnet: PODS }]],
            routes: [{ dst: '0.0.0.0/0' }],
          },
        },
        { type: 'portmap', capabilities: { portMappings: true } },
      ],
    }),
  );
  await begin(node, 'containerd', ['containerd', '-c', join(home, 'etc/containerd.toml')]);
  await ready(node, 'containerd', 30, ['ctr', '-a', socket, 'version']);
  for (const archive of images)
    await must(programs, 'ctr', ['-a', socket, '-n', 'k8s.io', 'images', 'import', archive]);
}

async function controlPlane(node: Node): Promise<void> {
  const { home } = node;
  const pki = (name: string) => join(home, 'pki', name);
  await begin(node, 'etcd', [
    'etcd',
    '--name=m',
    '--unsafe-no-fsync',
    `--data-dir=${join(home, 'etcd')}`,
    '--listen-client-urls=http://127.0.0.1:2379',
    '--advertise-client-urls=http://127.0.0.1:2379',
    '--listen-peer-urls=http://127.0.0.1:2380',
    '--initial-advertise-peer-urls=http://127.0.0.1:2380',
    '--initial-cluster=m=http://127.0.0.1:2380',
  ]);
  await begin(node, 'kube-apiserver', [
    'kube-apiserver',
    '--etcd-servers=http://127.0.0.1:2379',
    `--advertise-address=${NODE_IP}`,
    '--secure-port=6443',
    `--tls-cert-file=${pki('apiserver.crt')}`,
    `--tls-private-key-file=${pki('apiserver.key')}`,
    `--client-ca-file=${pki('ca.crt')}`,
    `--kubelet-client-certificate=${pki('admin.crt')}`,
    `--kubelet-client-key=${pki('admin.key')}`,
    `--kubelet-certificate-authority=${pki('ca.crt')}`,
    '--kubelet-preferred-address-types=InternalIP,Hostname',
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-key-file=${pki('sa.pub')}`,
    `--service-account-signing-key-file=${pki('sa.key')}`,
    `--service-cluster-ip-range=${SERVICES}`,
    '--authorization-mode=Node,RBAC',
    '--allow-privileged=true',
    '--profiling=false',
  ]);
  await ready(node, 'kube-apiserver', 120, kubectl(node, 'get', '--raw', '/readyz'));
  await begin(node, 'kube-controller-manager', [
    'kube-controller-manager',
    `--kubeconfig=${join(home, 'controllers.conf')}`,
    `--service-account-private-key-file=${pki('sa.key')}`,
    `--root-ca-file=${pki('ca.crt')}`,
    '--use-service-account-credentials=true',
    '--leader-elect=false',
    '--enable-hostpath-provisioner=true',
    `--cluster-cidr=${PODS}`,
    '--bind-address=127.0.0.1',
  ]);
  await begin(node, 'kube-scheduler', [
    'kube-scheduler',
    `--kubeconfig=${join(home, 'scheduler.conf')}`,
    '--leader-elect=false',
    '--bind-address=127.0.0.1',
  ]);
  // Bound only once a pod wants it: else the scheduler misses the bind now and then, and a pod stays Pending for ever.
  await writeFile(
    join(home, 'etc/storage.json'),
    JSON.stringify({
      apiVersion: 'storage.k8s.io/v1',
      kind: 'StorageClass',
      metadata: { name: 'standard', annotations: { 'storageclass.kubernetes.io/is-default-class': 'true' } },
      provisioner: 'kubernetes.io/host-path',
      reclaimPolicy: 'Delete',
      volumeBindingMode: 'WaitForFirstConsumer',
    }),
  );
  await ready(node, 'kube-apiserver', 30, kubectl(node, 'apply', '-f', join(home, 'etc/storage.json')));
}

async function agents(node: Node): Promise<void> {
  const { home } = node;
  const pki = (name: string) => join(home, 'pki', name);
  const write = (name: string, text: string) => writeOnce(join(home, 'etc', name), text);
  await write('resolv.conf', 'nameserver 127.0.0.1\n');
  await write(
    'kubelet.json',
    JSON.stringify({
      apiVersion: 'kubelet.config.k8s.io/v1beta1',
      kind: 'KubeletConfiguration',
      address: '0.0.0.0',
      authentication: {
        anonymous: { enabled: false },
        webhook: { enabled: true },
        x509: { clientCAFile: pki('ca.crt') },
      },
      authorization: { mode: 'Webhook' },
      tlsCertFile: pki('kubelet.crt'),
      tlsPrivateKeyFile: pki('kubelet.key'),
      containerRuntimeEndpoint: `unix://${join(home, 'containerd.sock')}`,
      cgroupDriver: 'cgroupfs',
      failCgroupV1: false,
      failSwapOn: false,
      makeIPTablesUtilChains: false,
      clusterDomain: 'cluster.local',
      clusterDNS: [NODE_IP],
      resolvConf: join(home, 'etc/resolv.conf'),
      imageGCHighThresholdPercent: 100,
      evictionHard: { 'memory.available': '50Mi', 'nodefs.available': '1%', 'imagefs.available': '1%' },
      podLogsDir: join(home, 'pods'),
      maxPods: 60,
    }),
  );
  await begin(node, 'kubelet', [
    'kubelet',
    `--config=${join(home, 'etc/kubelet.json')}`,
    `--kubeconfig=${join(home, 'kubelet.conf')}`,
    `--root-dir=${join(home, 'kubelet')}`,
    `--hostname-override=${NODE}`,
    `--node-ip=${NODE_IP}`,
  ]);
  await write(
    'proxy.json',
    JSON.stringify({
      apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
      kind: 'KubeProxyConfiguration',
      mode: 'iptables',
      clientConnection: { kubeconfig: join(home, 'proxy.conf') },
      clusterCIDR: PODS,
      hostnameOverride: NODE,
      bindAddress: '127.0.0.1',
      healthzBindAddress: '127.0.0.1:10256',
      metricsBindAddress: '127.0.0.1:10249',
      conntrack: { maxPerCore: 0, min: 0 },
    }),
  );
  await begin(node, 'kube-proxy', ['kube-proxy', `--config=${join(home, 'etc/proxy.json')}`]);
  await write(
    'Corefile',
    `.:53 {\n  bind ${NODE_IP}\n  errors\n  ready 127.0.0.1:8181\n  kubernetes cluster.local in-addr.arpa {\n    kubeconfig ${home}/admin.conf test\n    pods insecure\n    ttl 1\n  }\n}\n`,
  );
  await begin(node, 'coredns', ['coredns', '-conf', join(home, 'etc/Corefile')]);
  await ready(
    node,
    'kubelet',
    120,
    kubectl(node, 'wait', '--for=condition=Ready', `node/${NODE}`, '--timeout=1s'),
  );
  await ready(
    node,
    'kube-controller-manager',
    60,
    kubectl(node, '-n', 'default', 'get', 'serviceaccount', 'default'),
  );
  for (const limit = Date.now() + 60_000; ; await pause(200)) {
    const reply = await fetch('http://127.0.0.1:8181/ready').catch(() => null);
    if (reply?.ok) return;
    if (Date.now() > limit) throw new Error(`DNS did not come up:\n${await lastWords(home, 'coredns')}`);
  }
}

/** Programs watch their files: kube-proxy ends when its own is written, were it with the same words. */
async function writeOnce(file: string, text: string): Promise<void> {
  if ((await readFile(file, 'utf8').catch(() => null)) !== text) await writeFile(file, text, { mode: 0o600 });
}

const kubectl = ({ kubeconfig }: Node, ...args: string[]): string[] => [
  'kubectl',
  '--kubeconfig',
  kubeconfig,
  ...args,
];

async function must(
  { env }: Programs,
  program: string,
  args: readonly string[],
  cwd?: string,
): Promise<void> {
  const ended = await run(program, args, { env, ...(cwd ? { cwd } : {}), timeoutMs: 60_000 });
  if (!ended.ok) throw new Error(`${program} ${args[0] ?? ''}: ${ended.why}`);
}

const begin = ({ home, programs }: Node, name: string, command: readonly string[]): Promise<void> =>
  start({ home, name, command, env: programs.env });

const ready = (
  { home, programs }: Node,
  name: string,
  withinSeconds: number,
  command: readonly string[],
): Promise<void> => until({ home, name, withinSeconds, command, env: programs.env });
