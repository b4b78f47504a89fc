{{- define "berth.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "berth.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains (include "berth.name" .) .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "berth.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "berth.selector" -}}
app.kubernetes.io/name: {{ include "berth.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "berth.labels" -}}
{{ include "berth.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "berth.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end -}}

{{- define "berth.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "berth.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- /* The address that is in image names: that of publicUrl, else the service's in the cluster. */ -}}
{{- define "berth.address" -}}
{{- if .Values.publicUrl -}}
{{- get (urlParse .Values.publicUrl) "host" -}}
{{- else -}}
{{- printf "%s.%s.svc:%v" (include "berth.fullname" .) .Release.Namespace .Values.service.port -}}
{{- end -}}
{{- end -}}

{{- define "berth.host" -}}
{{- include "berth.address" . | splitList ":" | first -}}
{{- end -}}

{{- /* berth.yaml: what the chart knows, and the operator's own settings over it. */ -}}
{{- define "berth.config" -}}
{{- $registry := dict "address" "0.0.0.0:5000" "serve" (list "registry") -}}
{{- if eq .Values.tls.mode "own" -}}
{{- $_ := set $registry "tls" (dict "certificate" "/etc/berth/tls/tls.crt" "key" "/etc/berth/tls/tls.key") -}}
{{- else -}}
{{- $_ := set $registry "tls_elsewhere" true -}}
{{- end -}}
{{- $health := dict "address" "0.0.0.0:9090" "serve" (list "health" "metrics") -}}
{{- $auth := dict "users" true -}}
{{- if .Values.setup.existingSecret -}}
{{- $_ := set $auth "setup_secret_file" "/etc/berth/setup/secret" -}}
{{- end -}}
{{- $own := dict "listeners" (list $registry $health) "data" (dict "directory" "/var/lib/berth") "auth" $auth -}}
{{- with .Values.publicUrl -}}
{{- $_ := set $own "public_url" . -}}
{{- end -}}
{{- mergeOverwrite $own (deepCopy .Values.config) | toYaml -}}
{{- end -}}

{{- /* "yes" when an annotation tells the ingress controller to speak TLS to berth, or to pass it on as it comes. */ -}}
{{- define "berth.backendTls" -}}
{{- range $annotations := list .Values.ingress.annotations .Values.service.annotations -}}
{{- range $key, $value := $annotations -}}
{{- if or (regexMatch "(?i)(backend-protocol|app-protocols|serversscheme|konghq.com/protocol)$" $key | and (regexMatch "(?i)(https|ssl)" $value))
          (regexMatch "(?i)(server-ssl|secure-backends|ssl-passthrough)$" $key | and (eq $value "true"))
          (regexMatch "/(ssl-services|upstream-protocol.tls)$" $key | and (ne $value ""))
          (regexMatch "^route.openshift.io/termination$" $key | and (has $value (list "reencrypt" "passthrough"))) -}}
yes
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* What would let passwords be read, or leave a release that never starts, is refused before anything is made. */ -}}
{{- define "berth.check" -}}
{{- if and (not .Values.publicUrl) (or (ne .Values.tls.mode "own") .Values.ingress.enabled .Values.httpRoute.enabled) -}}
{{- fail "publicUrl is empty: give the address that clients use, as https://registry.example.com" -}}
{{- end -}}
{{- if and (eq .Values.tls.mode "own") (not .Values.tls.existingSecret) -}}
{{- fail "tls.existingSecret is empty: name a secret with tls.crt and tls.key, or say tls.mode=elsewhere when an ingress or a gateway speaks TLS" -}}
{{- end -}}
{{- if and (eq .Values.tls.mode "own") .Values.ingress.enabled (not (include "berth.backendTls" .)) -}}
{{- fail "tls.mode is own and the ingress would talk HTTP to berth's TLS port: say tls.mode=elsewhere, or tell the controller by ingress.annotations (some want service.annotations) to speak HTTPS to berth, as nginx.ingress.kubernetes.io/backend-protocol: HTTPS" -}}
{{- end -}}
{{- if and (eq .Values.tls.mode "own") .Values.httpRoute.enabled -}}
{{- fail "tls.mode is own and the gateway of httpRoute would talk HTTP to berth's TLS port: say tls.mode=elsewhere, or leave httpRoute.enabled=false and make a TLSRoute, or an HTTPRoute with a BackendTLSPolicy, of your own" -}}
{{- end -}}
{{- if and (eq .Values.tls.mode "elsewhere") .Values.networkPolicy.enabled (not .Values.networkPolicy.registryFrom) -}}
{{- fail "tls.mode is elsewhere and everybody in the cluster reaches berth in clear: name the ingress controller in networkPolicy.registryFrom" -}}
{{- end -}}
{{- end -}}
