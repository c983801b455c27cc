"""What the API shows."""

from rest_framework.serializers import IntegerField, ModelSerializer, Serializer, UUIDField

from .models import Category, Order, OrderItem, Product, Review

PRODUCT = ("id", "name", "slug", "description", "price", "category", "stock", "created_at", "updated_at")


class CategorySerializer(ModelSerializer):
    class Meta:
        model = Category
        fields = ("id", "name", "slug", "created_at", "updated_at")


class ProductSerializer(ModelSerializer):
    class Meta:
        model = Product
        fields = PRODUCT


class ProductWithCategorySerializer(ModelSerializer):
    category = CategorySerializer()

    class Meta:
        model = Product
        fields = PRODUCT


class OrderItemSerializer(ModelSerializer):
    product = ProductWithCategorySerializer()

    class Meta:
        model = OrderItem
        fields = ("id", "order", "product", "quantity", "price", "created_at", "updated_at")


class OrderSerializer(ModelSerializer):
    items = OrderItemSerializer(many=True)

    class Meta:
        model = Order
        fields = ("id", "customer", "status", "total", "items", "created_at", "updated_at")


class ReviewSerializer(ModelSerializer):
    class Meta:
        model = Review
        fields = ("id", "author", "product", "stars", "text", "created_at", "updated_at")
        read_only_fields = ("author",)
        extra_kwargs = {"text": {"max_length": 1000}}  # noqa: RUF012


class LineSerializer(Serializer):
    product = UUIDField()
    quantity = IntegerField(min_value=1, max_value=100)


class PurchaseSerializer(Serializer):
    items = LineSerializer(many=True, allow_empty=False, max_length=50)


class OrderMadeSerializer(ModelSerializer):
    class Meta:
        model = Order
        fields = ("id", "customer", "status", "total", "created_at", "updated_at")
