# The Debian package of the files that deploy/package put together in BERTH_STAGE.
set(CPACK_GENERATOR DEB)
set(CPACK_INSTALLED_DIRECTORIES "$ENV{BERTH_STAGE};.")
set(CPACK_PACKAGE_DIRECTORY "$ENV{BERTH_OUT}")
set(CPACK_PACKAGE_NAME berth)
set(CPACK_PACKAGE_VERSION "$ENV{BERTH_VERSION}")
set(CPACK_PACKAGE_VENDOR berth)
set(CPACK_PACKAGE_CONTACT "berth maintainers <maintainers@berth.dev>")
set(CPACK_PACKAGING_INSTALL_PREFIX "/")
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
    OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_PACKAGE_FILE_NAME berth)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# The first two are loaded when they are needed, so that nothing sees that they are; the third makes the user.
set(CPACK_DEBIAN_PACKAGE_DEPENDS "libcurl4, libldap-2.5-0, systemd | systemd-standalone-sysusers | systemd-sysusers, init-system-helpers (>= 1.52)")
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "ca-certificates")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
    "${CMAKE_CURRENT_LIST_DIR}/postinst;${CMAKE_CURRENT_LIST_DIR}/prerm;${CMAKE_CURRENT_LIST_DIR}/postrm;${CMAKE_CURRENT_LIST_DIR}/conffiles")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "container registry in one program")
set(CPACK_PACKAGE_DESCRIPTION
    "berth keeps container images and other OCI artifacts, and serves them to
docker, containerd, podman, Kubernetes and every other client of the OCI
distribution protocol, with users, robots, roles and TLS of its own.

What a client was told is stored stays stored, through crashes, power cuts
and full disks. Nothing else is needed: neither a database nor a proxy.")
