{{- define "tasktally.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 50 characters, so that names made of it (…-headless, a pod's label) stay within 63. */}}
{{- define "tasktally.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "tasktally.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "tasktally.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "tasktally.selector" -}}
app.kubernetes.io/name: {{ include "tasktally.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "tasktally.labels" -}}
{{ include "tasktally.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "tasktally.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "tasktally.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "tasktally.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "tasktally.appProtocol" -}}
{{- default (ternary "https" "kubernetes.io/h2c" (not (empty .Values.tls.existingSecret))) .Values.service.appProtocol -}}
{{- end -}}

{{/* A value as the program reads it. Helm reads every number as a float, which Go writes as 1e+07. */}}
{{- define "tasktally.text" -}}
{{- if kindIs "float64" . -}}{{ int64 . }}{{- else -}}{{ . }}{{- end -}}
{{- end -}}

{{/* A gRPC probe: by the name of a service, on the port for health. */}}
{{- define "tasktally.probe" -}}
grpc:
  port: {{ .port | int }}
  service: {{ .probe.service }}
periodSeconds: {{ .probe.periodSeconds }}
timeoutSeconds: {{ .probe.timeoutSeconds }}
failureThreshold: {{ .probe.failureThreshold }}
{{- end -}}

{{/* What the server would refuse anyway, said before anything is installed. */}}
{{- define "tasktally.check" -}}
{{- $access := .Values.access -}}
{{- if not (or $access.credentials.existingSecret $access.jwt.existingSecret $access.allowUnauthenticated) -}}
{{- fail "nobody would be asked who they are: give access.credentials.existingSecret or access.jwt.existingSecret, or, where everybody who can reach the pod may read and write everything, access.allowUnauthenticated=true" -}}
{{- end -}}
{{- if and $access.jwt.existingSecret (not (and $access.jwt.issuer $access.jwt.audience)) -}}
{{- fail "access.jwt.existingSecret needs access.jwt.issuer and access.jwt.audience" -}}
{{- end -}}
{{- if and .Values.tls.clientCa.existingSecret (not .Values.tls.existingSecret) -}}
{{- fail "tls.clientCa.existingSecret needs tls.existingSecret" -}}
{{- end -}}
{{- if and .Values.metrics.serviceMonitor.enabled (not .Values.metrics.enabled) -}}
{{- fail "metrics.serviceMonitor.enabled needs metrics.enabled" -}}
{{- end -}}
{{- $ports := list (int .Values.service.port) (int .Values.health.port) -}}
{{- if .Values.metrics.enabled -}}{{- $ports = append $ports (int .Values.metrics.port) -}}{{- end -}}
{{- if ne (len $ports) (len (uniq $ports)) -}}
{{- fail "service.port, health.port and metrics.port must differ" -}}
{{- end -}}
{{- end -}}
