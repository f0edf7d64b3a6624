"""What installs and runs the platform: custom resources, chart, container images, the embedded cluster."""
