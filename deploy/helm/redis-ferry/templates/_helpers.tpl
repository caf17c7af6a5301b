{{- define "redis-ferry.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "redis-ferry.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "redis-ferry.labels" -}}
{{ include "redis-ferry.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "redis-ferry.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "redis-ferry.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name: name the one that is there, or create one" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- /* The Secret and its entry, both. */ -}}
{{- define "redis-ferry.entry" -}}
{{- $ref := index . 0 -}}
{{- $where := index . 1 -}}
name: {{ required (printf "%s.secret: name the Secret" $where) $ref.secret }}
key: {{ required (printf "%s.key: name the entry of the Secret" $where) $ref.key }}
{{- end -}}
