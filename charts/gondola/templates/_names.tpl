{{- define "gondola.name" -}}
{{- printf "%s-operator" .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* The name of a Service has no dots. */}}
{{- define "gondola.service" -}}
{{- include "gondola.name" . | replace "." "-" -}}
{{- end -}}

{{/*
The name of what belongs to no namespace. Releases of one name in two namespaces, each for a namespace of its own, must not
share it: a namespace has no dot in its name, so that no two pairs of release and namespace give the same text.
*/}}
{{- define "gondola.clusterName" -}}
{{- if .Values.watchNamespace -}}
{{- printf "%s.%s" (include "gondola.name" .) .Release.Namespace -}}
{{- else -}}
{{- include "gondola.name" . -}}
{{- end -}}
{{- end -}}

{{- define "gondola.selector" -}}
app.kubernetes.io/name: gondola
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "gondola.labels" -}}
{{ include "gondola.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | quote }}
{{- end -}}

{{- define "gondola.image" -}}
{{- $tagged := printf "%s:%s" .image.repository (default .appVersion .image.tag) -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $tagged .image.digest | quote -}}
{{- else -}}
{{- $tagged | quote -}}
{{- end -}}
{{- end -}}

{{/* The user that pods run as, as text; empty where the platform chooses. A large number would be written as 1e+09. */}}
{{- define "gondola.user" -}}
{{- with .Values.pods.user -}}
{{- . | int64 -}}
{{- end -}}
{{- end -}}

{{/* What the operator may do where pipelines are. It grants routers and resolvers nothing that it has not itself. */}}
{{- define "gondola.rules" -}}
- apiGroups: [gondola.dev]
  resources: [recommenderpipelines, recommendationjobs, recommendertrainings]
  verbs: [get, list, watch]
- apiGroups: [gondola.dev]
  resources: [recommenderpipelines/status, recommendationjobs/status, recommendertrainings/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [configmaps, services, serviceaccounts]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
# What the kubelet says of a pod that can't start: a volume that is missing stands nowhere else.
- apiGroups: [""]
  resources: [events]
  verbs: [get, list]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
# Which versions of a variant still have pods.
- apiGroups: [apps]
  resources: [replicasets]
  verbs: [list, watch]
# Runs of lists and of trainings.
- apiGroups: [batch]
  resources: [jobs, cronjobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles, rolebindings]
  verbs: [get, list, watch, create, patch, delete]
# Held only to be granted to routers.
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [get, list, watch]
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [monitoring.coreos.com]
  resources: [podmonitors]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}
