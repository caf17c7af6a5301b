/*
 * A real Kubernetes with one node on this machine: its own network bridge, containerd, etcd, control plane, kubelet, kube-proxy and DNS.
 * One at a time on a machine. Everything that was started is recorded by its number and ended by it.
 */
import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { mkdir, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheFolder, type Say } from '../../../src/setup/cache.js';
import { isAlive, pause, run, seconds } from '../../../src/setup/run.js';
import { findImages, PAUSE_IMAGE } from './images.js';
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
const SERVICES = '10.96.0.0/16';
const API = 'https://127.0.0.1:6443';

export const homeOfNode = (cache: string = cacheFolder()): string => join(cache, 'cluster', 'node');

/** Idempotent: what runs already is left as it is. Throws one sentence, with the log of whatever did not come up. */
export async function startNode(say: Say, cache: string = cacheFolder()): Promise<RunningNode> {
  const programs = await findPrograms(say, cache);
  const images = await findImages(programs, say, cache);
  const since = Date.now();
  const home = homeOfNode(cache);
  const node = { home, programs, kubeconfig: join(home, 'admin.conf'), bin: programs.bin };
  for (const folder of ['pki', 'log', 'pid', 'etc', 'cni', 'kubelet'])
    await mkdir(join(home, folder), { recursive: true });
  await network(node);
  await certificates(node);
  await containers(node, images);
  await controlPlane(node);
  await agents(node);
  say(`Kubernetes is up (${seconds(since)})`);
  return { kubeconfig: node.kubeconfig, bin: node.bin };
}

interface Node extends RunningNode {
  home: string;
  programs: Programs;
}

async function network({ programs }: Node): Promise<void> {
  for (const [file, value] of [
    ['/proc/sys/net/ipv4/ip_forward', '1'],
    ['/proc/sys/net/bridge/bridge-nf-call-iptables', '1'],
  ] as const)
    await writeFile(file, value).catch(() => undefined);
  const ip = (...args: string[]) => must(programs, 'ip', args);
  if (!(await run('ip', ['link', 'show', 'k8s0'], { env: programs.env })).ok) {
    await ip('link', 'add', 'k8s0', 'type', 'bridge');
    await ip('addr', 'add', `${NODE_IP}/32`, 'dev', 'k8s0');
    await ip('link', 'set', 'k8s0', 'up');
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
    await openssl(
      'req',
      '-x509',
      '-new',
      '-key',
      'ca.key',
      '-subj',
      '/CN=cluster',
      '-days',
      '3650',
      '-out',
      'ca.crt',
    );
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
        ...['x509', '-req', '-in', `${name}.csr`, '-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial'],
        ...['-days', '3650', '-extfile', `${name}.ext`, '-out', `${name}.crt`],
      );
    }
    await openssl('genrsa', '-out', 'sa.key', '2048');
    await openssl('rsa', '-in', 'sa.key', '-pubout', '-out', 'sa.pub');
  }
  for (const name of ['admin', 'controllers', 'scheduler', 'proxy', 'kubelet'])
    await writeFile(
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
      { mode: 0o600 },
    );
}

async function containers(node: Node, images: readonly string[]): Promise<void> {
  const { home, programs } = node;
  const socket = join(home, 'containerd.sock');
  await writeFile(
    join(home, 'etc/containerd.toml'),
    `version = 2
root = "${home}/containerd/root"
state = "${home}/containerd/state"
[grpc]
  address = "${socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${PAUSE_IMAGE}"
  disable_apparmor = true
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
  await writeFile(
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
  await start(node, 'containerd', ['containerd', '-c', join(home, 'etc/containerd.toml')]);
  await until(node, 'containerd', 30, ['ctr', '-a', socket, 'version']);
  for (const archive of images)
    await must(programs, 'ctr', ['-a', socket, '-n', 'k8s.io', 'images', 'import', archive]);
}

async function controlPlane(node: Node): Promise<void> {
  const { home } = node;
  const pki = (name: string) => join(home, 'pki', name);
  await start(node, 'etcd', [
    ...['etcd', '--name', 'm', '--unsafe-no-fsync', '--data-dir', join(home, 'etcd')],
    ...['--listen-client-urls', 'http://127.0.0.1:2379', '--advertise-client-urls', 'http://127.0.0.1:2379'],
    ...[
      '--listen-peer-urls',
      'http://127.0.0.1:2380',
      '--initial-advertise-peer-urls',
      'http://127.0.0.1:2380',
    ],
    ...['--initial-cluster', 'm=http://127.0.0.1:2380'],
  ]);
  await start(node, 'kube-apiserver', [
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
  await until(node, 'kube-apiserver', 120, kubectl(node, 'get', '--raw', '/readyz'));
  await start(node, 'kube-controller-manager', [
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
  await start(node, 'kube-scheduler', [
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
  await until(node, 'kube-apiserver', 30, kubectl(node, 'apply', '-f', join(home, 'etc/storage.json')));
}

async function agents(node: Node): Promise<void> {
  const { home } = node;
  const pki = (name: string) => join(home, 'pki', name);
  const write = (name: string, text: string) => writeFile(join(home, 'etc', name), text);
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
      maxPods: 60,
    }),
  );
  await startKubelet(node);
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
  await start(node, 'kube-proxy', ['kube-proxy', `--config=${join(home, 'etc/proxy.json')}`]);
  await write(
    'Corefile',
    `.:53 {\n  bind ${NODE_IP}\n  errors\n  ready 127.0.0.1:8181\n  kubernetes cluster.local in-addr.arpa {\n    kubeconfig ${home}/admin.conf test\n    pods insecure\n    ttl 1\n  }\n}\n`,
  );
  await start(node, 'coredns', ['coredns', '-conf', join(home, 'etc/Corefile')]);
  await until(
    node,
    'kubelet',
    120,
    kubectl(node, 'wait', '--for=condition=Ready', `node/${NODE}`, '--timeout=1s'),
  );
  await until(
    node,
    'kube-controller-manager',
    60,
    kubectl(node, '-n', 'default', 'get', 'serviceaccount', 'default'),
  );
  for (const limit = Date.now() + 60_000; ; await pause(200)) {
    const reply = await fetch('http://127.0.0.1:8181/ready').catch(() => null);
    if (reply?.ok) return;
    if (Date.now() > limit) throw new Error(`DNS did not come up:\n${await lastWords(node, 'coredns')}`);
  }
}

async function startKubelet(node: Node): Promise<void> {
  const { home } = node;
  await start(node, 'kubelet', [
    'kubelet',
    `--config=${join(home, 'etc/kubelet.json')}`,
    `--kubeconfig=${join(home, 'kubelet.conf')}`,
    `--root-dir=${join(home, 'kubelet')}`,
    `--hostname-override=${NODE}`,
    `--node-ip=${NODE_IP}`,
  ]);
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

/** Works in the node's folder: by that, and by its number, it is known again. */
async function start(
  { home, programs }: Node,
  name: string,
  [program = '', ...args]: string[],
): Promise<void> {
  if ((await ours(home, name)) !== null) return;
  const log = openSync(join(home, 'log', `${name}.log`), 'a');
  const child = spawn(program, args, {
    cwd: home,
    env: programs.env,
    detached: true,
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  await new Promise<void>((done, fail) => {
    child.once('spawn', done);
    child.once('error', (error) => fail(new Error(`${name} does not start: ${error.message}`)));
  });
  child.unref();
  await writeFile(join(home, 'pid', name), String(child.pid));
}

/** Its number while it runs, and is the one that was started here: a number may have become another's. */
async function ours(home: string, name: string): Promise<number | null> {
  const pid = Number(await readFile(join(home, 'pid', name), 'utf8').catch(() => ''));
  if (!pid || !isAlive(pid)) return null;
  return (await readlink(`/proc/${pid}/cwd`).catch(() => '')) === home ? pid : null;
}

async function until(
  node: Node,
  name: string,
  withinSeconds: number,
  [program = '', ...args]: string[],
): Promise<void> {
  for (const limit = Date.now() + withinSeconds * 1_000; ; await pause(300)) {
    if ((await run(program, args, { env: node.programs.env, timeoutMs: 20_000 })).ok) return;
    if (Date.now() > limit) throw new Error(`${name} did not come up:\n${await lastWords(node, name)}`);
  }
}

async function lastWords({ home }: Pick<Node, 'home'>, name: string): Promise<string> {
  const text = await readFile(join(home, 'log', `${name}.log`), 'utf8').catch(() => '');
  return text.trim().split('\n').slice(-5).join('\n');
}

/** Ends all of it and takes away what it left on the machine. Harmless where nothing runs. */
export async function stopNode(say: Say, cache: string = cacheFolder()): Promise<void> {
  const home = homeOfNode(cache);
  if ((await readdir(home).catch(() => [])).length === 0) return;
  const programs = await findPrograms(say, cache);
  const { env } = programs;
  const names = [
    'kubelet',
    'coredns',
    'kube-proxy',
    'kube-scheduler',
    'kube-controller-manager',
    'kube-apiserver',
    'etcd',
  ];
  for (const name of names) await end(home, name, 'SIGKILL');
  const ctr = (...args: string[]) =>
    run('ctr', ['--connect-timeout', '2s', '-a', join(home, 'containerd.sock'), '-n', 'k8s.io', ...args], {
      env,
      timeoutMs: 20_000,
    });
  for (const task of (await ctr('tasks', 'ls', '-q')).stdout.split('\n').filter(Boolean))
    await ctr('tasks', 'rm', '-f', task);
  for (const each of (await ctr('containers', 'ls', '-q')).stdout.split('\n').filter(Boolean))
    await ctr('containers', 'rm', each);
  await end(home, 'containerd', 'SIGTERM');
  await run('kube-proxy', ['--cleanup'], { env });
  for (const table of ['iptables', 'ip6tables']) {
    for (const chain of ['INPUT', 'OUTPUT']) await run(table, ['-D', chain, '-j', 'KUBE-FIREWALL'], { env });
    for (const flag of ['-F', '-X']) await run(table, [flag, 'KUBE-FIREWALL'], { env });
  }
  for (const mounted of mountsBelow(home)) await run('umount', ['-l', mounted]);
  for (const line of (await run('ip', ['netns', 'list'], { env })).stdout.split('\n')) {
    const name = line.split(' ')[0] ?? '';
    if (name.startsWith('cni-')) await run('ip', ['netns', 'del', name], { env });
  }
  for (const link of ['cni0', 'k8s0']) await run('ip', ['link', 'del', link], { env });
  await run('sh', [
    '-c',
    'for c in /sys/fs/cgroup/*/kubepods /sys/fs/cgroup/kubepods; do [ -d $c ] && find $c -depth -type d -exec rmdir {} \\;; done',
  ]);
  await rm(home, { recursive: true, force: true });
  await rm('/tmp/hostpath_pv', { recursive: true, force: true });
}

async function end(home: string, name: string, signal: NodeJS.Signals): Promise<void> {
  const pid = await ours(home, name);
  if (pid !== null) {
    process.kill(pid, signal);
    for (let n = 0; n < 50 && isAlive(pid); n += 1) await pause(100);
    if (isAlive(pid)) process.kill(pid, 'SIGKILL');
  }
  await rm(join(home, 'pid', name), { force: true });
}

/** The deepest first. */
function mountsBelow(folder: string): string[] {
  return readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((path) => path.startsWith(`${folder}/`))
    .toSorted()
    .toReversed();
}

/** Which of its programs run. */
export async function nodeStands(cache: string = cacheFolder()): Promise<string[]> {
  const home = homeOfNode(cache);
  const names = await readdir(join(home, 'pid')).catch(() => []);
  const running = await Promise.all(
    names.map(async (name) => ((await ours(home, name)) === null ? null : name)),
  );
  return running.filter((name) => name !== null);
}

/** For tests: a program of the node goes away, and comes back. */
export async function withoutProgram(
  name: 'kubelet' | 'kube-apiserver',
  work: () => Promise<void>,
): Promise<void> {
  const home = homeOfNode();
  await end(home, name, 'SIGKILL');
  try {
    await work();
  } finally {
    await startNode(() => undefined);
  }
}
