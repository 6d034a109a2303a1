{{- define "mcsqueal.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "mcsqueal.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains (include "mcsqueal.name" .) .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "mcsqueal.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "mcsqueal.selector" -}}
app.kubernetes.io/name: {{ include "mcsqueal.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "mcsqueal.labels" -}}
{{ include "mcsqueal.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "mcsqueal.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "mcsqueal.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* The configuration: what was given, and what the chart sees to. */}}
{{- define "mcsqueal.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- if not $config.source -}}
{{- fail "config.source is needed: the server whose log is read, like {url: mysql://mcsqueal@mysql:3306}" -}}
{{- end -}}
{{- if not $config.clusters -}}
{{- fail "config.clusters is needed: the caches to keep fresh, like [{name: main, servers: [memcached:11211]}]" -}}
{{- end -}}
{{- $admin := default dict $config.admin -}}
{{- $_ := set $admin "listen" (printf ":%d" (int .Values.service.port)) -}}
{{- $_ := set $config "admin" $admin -}}
{{- $_ := set $config "state_dir" "/var/lib/mcsqueal" -}}
{{- if .Values.password.existingSecret -}}
{{- $_ := set $config.source "password_file" "/etc/mcsqueal/secret/password" -}}
{{- end -}}
{{- if .Values.adminToken.existingSecret -}}
{{- $_ := set $admin "token_file" "/etc/mcsqueal/admin/token" -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* How the service is asked: HTTPS if the configuration gives it a certificate. */}}
{{- define "mcsqueal.scheme" -}}
{{- if dig "admin" "tls" "cert" "" .Values.config -}}HTTPS{{- else -}}HTTP{{- end -}}
{{- end -}}

{{/* The ports that the configuration names, a line each. */}}
{{- define "mcsqueal.ports" -}}
{{- $ports := dict -}}
{{- $source := default dict .Values.config.source -}}
{{- range concat (list $source.url) (default list $source.urls) -}}
{{- if and . (not (contains "socket=" .)) -}}
{{- $_ := set $ports (default "3306" (regexFind "[0-9]+$" (regexFind ":[0-9]+$" (urlParse .).host))) "" -}}
{{- end -}}
{{- end -}}
{{- range .Values.config.clusters -}}
{{- range concat (default list .routers) (default list .servers) (default list .flush) -}}
{{- with regexFind ":[0-9]+$" . -}}
{{- $_ := set $ports (trimPrefix ":" .) "" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- keys $ports | sortAlpha | join "\n" -}}
{{- end -}}
