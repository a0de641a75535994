/// What `postern --version` prints.
package enum PosternVersion {
    package static let number = "0.1.0"

    package static let text = "postern \(number)"
}
