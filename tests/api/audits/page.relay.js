import { graphql } from "relay-runtime";

graphql`
  query pageQuery($count: Int!, $cursor: String, $id: ID!) {
    ...page_products @arguments(count: $count, cursor: $cursor)
    node(id: $id) {
      ...page_product @alias
    }
  }
`;
graphql`
  fragment page_products on Query
  @refetchable(queryName: "pageProductsQuery")
  @argumentDefinitions(count: { type: "Int", defaultValue: 10 }, cursor: { type: "String" }) {
    products(first: $count, after: $cursor, orderBy: [{ price: DESC }]) @connection(key: "page_products_products") {
      edges {
        node {
          id
          ...page_product
        }
      }
    }
  }
`;
graphql`
  fragment page_product on Product @refetchable(queryName: "pageProductQuery") {
    name
    price {
      amount
      currency
    }
    reviews(first: 3, orderBy: [{ stars: DESC }]) {
      stars
    }
  }
`;
graphql`
  mutation pageDeleteMutation($id: ID!, $connections: [ID!]!) {
    deleteReview(id: $id) {
      id @deleteEdge(connections: $connections)
    }
  }
`;
