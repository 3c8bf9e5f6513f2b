{{- /* The names. Without an override they are those of deploy/base, whatever the release is called: documents, examples
in --help and a later release of another name find the same objects. */ -}}
{{- define "nanoseg.name" -}}
{{- .Values.nameOverride | default "nanoseg" -}}
{{- end -}}

{{- define "nanoseg.fullname" -}}
{{- .Values.fullnameOverride | default (include "nanoseg.name" .) -}}
{{- end -}}

{{- define "nanoseg.labels" -}}
app.kubernetes.io/part-of: nanoseg
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "nanoseg.controllerLabels" -}}
app.kubernetes.io/name: {{ include "nanoseg.name" . }}-controller
{{ include "nanoseg.labels" . }}
{{- end -}}

{{- define "nanoseg.agentLabels" -}}
app.kubernetes.io/name: {{ include "nanoseg.name" . }}-agent
{{ include "nanoseg.labels" . }}
{{- end -}}

{{- define "nanoseg.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* The variable that sets the level of the log: what other libraries say stays at warnings. */ -}}
{{- define "nanoseg.logLevel" -}}
{{- if ne .Values.log.level "info" -}}
- name: NANOSEG_LOG
  value: warn,nanoseg={{ .Values.log.level }}
{{- end }}
{{- end -}}

{{- /* Where replicas run in relation to each other. Keys of controller.affinity take the place of these. */ -}}
{{- define "nanoseg.controllerAffinity" -}}
{{ .Values.controller.spread | ternary "podAntiAffinity" "podAffinity" }}:
  requiredDuringSchedulingIgnoredDuringExecution:
    - topologyKey: kubernetes.io/hostname
      labelSelector:
        matchLabels:
          app.kubernetes.io/name: {{ include "nanoseg.name" . }}-controller
{{- end -}}

{{- define "nanoseg.controllerSpread" -}}
{{- if .Values.controller.spread }}
- topologyKey: topology.kubernetes.io/zone
  maxSkew: 1
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      app.kubernetes.io/name: {{ include "nanoseg.name" . }}-controller
{{- else }}
[]
{{- end }}
{{- end -}}

{{- /* The ports of the servers in nats.url: tls://a:4222,tls://b. */ -}}
{{- define "nanoseg.natsPorts" -}}
{{- $ports := list }}
{{- range splitList "," .Values.nats.url }}
{{- $ports = append $ports (regexFind ":[0-9]+$" . | trimPrefix ":" | default "4222" | int) }}
{{- end }}
{{- $ports | uniq | toJson }}
{{- end -}}
