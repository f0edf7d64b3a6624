{{- define "middleware.labels" -}}
app.kubernetes.io/name: middleware-platform
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "middleware.checks" -}}
{{- if ne .Release.Namespace "middleware-system" }}
{{- fail "install the platform into the namespace middleware-system: plugins and certificates are looked for there" }}
{{- end }}
{{- if not .Values.temporal.address }}
{{- fail "set temporal.address to host:port of your Temporal frontend" }}
{{- end }}
{{- end }}

{{- define "middleware.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "middleware.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "middleware.environment" -}}
- {name: MW_INSTALLATION, value: {{ .Values.installation | quote }}}
- {name: MW_LOG_LEVEL, value: {{ .Values.logLevel | quote }}}
- {name: MW_METRICS_PORT, value: "9090"}
- {name: GRPC_VERBOSITY, value: NONE}  # its own lines are not structured; every failure comes as an error too
- {name: MW_TLS_DIR, value: /etc/middleware-platform-tls}
- {name: TEMPORAL_ADDRESS, value: {{ .Values.temporal.address | quote }}}
- {name: TEMPORAL_NAMESPACE, value: {{ .Values.temporal.namespace | quote }}}
{{- with .Values.temporal.tls }}
{{- if .secretName }}
- {name: MW_TEMPORAL_TLS_DIR, value: /etc/middleware-temporal-tls}
- {name: MW_TEMPORAL_TLS_SERVER_NAME, value: {{ .serverName | quote }}}
{{- end }}
{{- end }}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
{{- end }}

{{- define "middleware.mounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: client, mountPath: /etc/middleware-platform-tls, readOnly: true}
{{- if .Values.temporal.tls.secretName }}
- {name: temporal, mountPath: /etc/middleware-temporal-tls, readOnly: true}
{{- end }}
{{- end }}

{{- define "middleware.volumes" -}}
- {name: tmp, emptyDir: {}}
- {name: client, secret: {secretName: platform-client, defaultMode: 0440}}
{{- with .Values.temporal.tls.secretName }}
- {name: temporal, secret: {secretName: {{ . | quote }}, defaultMode: 0440}}
{{- end }}
{{- end }}

{{- define "middleware.spread" -}}
podAntiAffinity:
  preferredDuringSchedulingIgnoredDuringExecution:
  - weight: 100
    podAffinityTerm:
      topologyKey: kubernetes.io/hostname
      labelSelector: {matchLabels: {app.kubernetes.io/instance: {{ .release }}, app.kubernetes.io/component: {{ .component }}}}
{{- end }}

{{- /* Nothing of the platform is tied to a machine: where one is lost, another takes it up soon, and not after the 300 s that Pods get by default. */}}
{{- define "middleware.tolerations" -}}
- {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 10}
- {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 10}
{{- with . }}
{{ toYaml . }}
{{- end }}
{{- end }}
