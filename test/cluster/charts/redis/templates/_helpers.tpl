{{- define "redis.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name -}}
{{- end -}}
{{- end -}}

{{- define "redis.mode" -}}
{{- if not (has .Values.mode (list "standalone" "replica")) -}}
{{- fail (printf "mode %s is not known: choose standalone or replica" .Values.mode) -}}
{{- end -}}
{{- .Values.mode -}}
{{- end -}}

{{- define "redis.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "redis.labels" -}}
{{ include "redis.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "redis.secret" -}}
{{- .Values.redis.existingSecret | default (include "redis.fullname" .) -}}
{{- end -}}

{{- define "redis.hasPassword" -}}
{{- if or .Values.redis.password .Values.redis.existingSecret -}}yes{{- end -}}
{{- end -}}

{{- define "redis.env" -}}
{{- if include "redis.hasPassword" . -}}
- name: REDIS_PASSWORD
  valueFrom:
    secretKeyRef: { name: {{ include "redis.secret" . }}, key: {{ .Values.redis.secretKeyName }} }
{{- else -}}
- { name: REDIS_PASSWORD, value: '' }
{{- end -}}
{{- end -}}
